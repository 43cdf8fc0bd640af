"""What `shuffle explain` says of a plan, as data: made by `explain.py` beside the plan, shown by the program.

Imports no engine, so that the program need not start one.
"""

from __future__ import annotations

from msgspec import Struct, field

from shuffle_protocol.messages import PlanNode


class ExplainedInput(Struct, frozen=True):
    """One input, as `explain` shows it."""

    name: str
    paths: list[str]
    files: int
    bytes: int
    rows: int
    """Before the filter."""
    first_files: list[str]
    """Some of the paths."""
    columns: list[str]
    compute: dict[str, str]
    """Expressions by the computed columns that are needed."""
    filter: str
    filter_columns: list[str]
    row_groups_read: int
    """Row groups that the filter leaves."""
    rows_read: int
    bytes_read: int
    row_bytes: float
    """The bytes of a row in memory."""


class ExplainedOutput(Struct, frozen=True):
    path: str
    partitions: int
    buckets: int
    row_group_rows: int
    compression: str
    dictionary: list[str]
    schema: dict[str, str]


class ExplainedWork(Struct, frozen=True):
    """A job on tables, as `explain` shows it."""

    operation: str
    """In words."""
    method: str
    method_reason: str
    workers: int
    splits: int
    row_bytes: float
    """The bytes of an output row in memory."""
    arrow_bytes: int
    memory: int
    """Given to each worker."""
    memory_needed: int
    """The least that a worker needs."""
    memory_store: int
    scratch: int
    """What all workers together may spill."""


class Explanation(Struct, frozen=True):
    job: str
    inputs: list[ExplainedInput]
    work: ExplainedWork
    output: ExplainedOutput
    seconds: float
    tree: PlanNode | None
    notes: list[str] = field(default_factory=list)
