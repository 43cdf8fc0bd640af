"""The plan: everything that a worker needs to carry out a job, worked out once and the same for all.

Written by the plan lease to the output's staging folder, read from there by every worker. It depends on the input, the
job and nothing else that would change a byte of the output: the number of workers and their memory decide only the
layout's buckets, which never show in a file.
"""

from __future__ import annotations

from bisect import bisect_left

import pyarrow as pa
from msgspec import Struct, field

from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.plan.layout import Layout


class File(Struct, frozen=True):
    """One input file as it was when the job was planned.

    tag: what changes when the file does (ETag, or size and modification time); compared when it is opened and after.
    rows: from the footer, -1 where the format does not say. first_row: the position of its first row among the rows of
    the same input, which defines order and ties everywhere: the number of rows before it, or more than that where they
    are not counted. input: which of the job's inputs it belongs to.
    hive: the columns that its folders spell out (`country=DE`), as text; None for the default partition.
    """

    path: str
    size: int
    tag: str
    rows: int
    first_row: int
    input: int = 0
    hive: dict[str, str | None] = field(default_factory=dict)


class Piece(Struct, frozen=True):
    """A part of a file: these row groups (or what is one in its format, see `readers/source.py`)."""

    file: int
    row_groups: list[int]
    first_rows: list[int]  # position in the input of the first row of each row group


class Split(Struct, frozen=True):
    """What one transfer lease reads: pieces of one or several files of one input, in input order. bytes: stored bytes
    to fetch."""

    pieces: list[Piece]
    bytes: int
    rows: int
    input: int = 0


class Table(Struct, frozen=True):
    """One input as it is read and sent. schema: of the columns that the operation needs of it, with the types that the
    output is to declare, as IPC bytes; what travels is its transport schema (`columns/schema.py`). filter_columns: the
    schema of the columns that only the filter reads, None where there are none. row_bytes: mean Arrow bytes of a row.
    rows: how many are expected to pass the filter. format: of its files. strict: all columns are read, so one that the
    plan does not know is an error."""

    name: str
    schema: bytes
    row_bytes: float
    rows: int
    filter_columns: bytes | None = None
    format: str = "Parquet"
    strict: bool = True

    def arrow_schema(self) -> pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def filter_schema(self) -> pa.Schema:
        return pa.schema([]) if self.filter_columns is None else pa.ipc.read_schema(pa.py_buffer(self.filter_columns))


class SkewedKey(Struct, frozen=True):
    """A key of a join that is so frequent in one input that the rows there are spread over several files. hash: the
    key's; pieces: how many files, at even distances from the one that the hash says; key, bytes: for people."""

    hash: int
    input: int
    pieces: int
    key: str
    bytes: int


class Plan(Struct, frozen=True):
    """inputs: in the job's order. schema: the output's Arrow schema as IPC bytes. files, splits: of all inputs, those
    of the first one first. boundaries: for range layouts, a record batch as an IPC stream: the sort columns (as the
    input has them, unified) and `position`; cells-1 rows. dictionary: columns that are worth a Parquet dictionary.
    row_bytes: mean Arrow bytes of an output row. row_group_rows: rows in each output row group. code: the digest of
    each of the job's sources of functions ("" for a folder). broadcast: the input of a join that every worker reads
    whole, by `small`; what travels then are joined rows. skewed: of a join that is not. aligned: for each output file
    what is read for it when it is written, of inputs that are parted alike; nothing travels then."""

    job: Job
    inputs: list[Table]
    schema: bytes
    files: list[File]
    splits: list[Split]
    layout: Layout
    summary: PlanSummary
    row_bytes: float
    row_group_rows: int
    dictionary: list[str] = field(default_factory=list)
    boundaries: bytes | None = None
    code: list[str] = field(default_factory=list)
    broadcast: int | None = None
    small: list[Split] = field(default_factory=list)
    skewed: list[SkewedKey] = field(default_factory=list, name="hot")
    aligned: list[list[Split]] = field(default_factory=list)

    def arrow_schema(self) -> pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def sent_schema(self, index: int) -> pa.Schema:
        """Of the rows that a split of this input sends."""
        return self.arrow_schema() if self.broadcast is not None else self.inputs[index].arrow_schema()

    @property
    def first_splits(self) -> list[int]:
        """The number of each input's first split, and at the end the number of all splits."""
        inputs = [split.input for split in self.splits]
        return [bisect_left(inputs, at) for at in range(len(self.inputs))] + [len(inputs)]
