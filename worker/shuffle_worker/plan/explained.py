"""What `shuffle explain` says of a plan, as data: made by `explain.py` beside the plan, shown by the program.

Imports no engine, so that the program need not start one.
"""

from __future__ import annotations

from msgspec import Struct, field

from shuffle_protocol.messages import PlanNode


class ExplainedInput(Struct, frozen=True):
    """rows: before the filter. first_files: some of them. row_groups_read: those that the filter leaves. row_bytes:
    of a row in memory."""

    name: str
    paths: list[str]
    files: int
    bytes: int
    rows: int
    first_files: list[str]
    columns: list[str]
    filter: str
    filter_columns: list[str]
    row_groups_read: int
    rows_read: int
    bytes_read: int
    row_bytes: float


class ExplainedOutput(Struct, frozen=True):
    path: str
    partitions: int
    buckets: int
    row_group_rows: int
    compression: str
    dictionary: list[str]
    schema: dict[str, str]


class ExplainedWork(Struct, frozen=True):
    """operation: in words. row_bytes: of an output row in memory. memory: given to each worker; needed: the least
    it takes; scratch: what all workers together may spill."""

    operation: str
    method: str
    method_reason: str
    workers: int
    splits: int
    row_bytes: float
    arrow_bytes: int
    memory: int
    memory_needed: int
    memory_store: int
    scratch: int


class Explanation(Struct, frozen=True):
    job: str
    inputs: list[ExplainedInput]
    work: ExplainedWork
    output: ExplainedOutput
    seconds: float
    tree: PlanNode | None
    notes: list[str] = field(default_factory=list)
