"""The plan: everything that a worker needs to carry out a job, made once and the same for all.

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
    """One input file as it was when the job was planned."""

    path: str
    size: int
    tag: str
    """What changes when the file does (ETag, or size and modification time); compared when it is opened and after."""
    rows: int
    """From the footer, -1 where the format does not say."""
    input: int = 0
    """Which of the job's inputs it belongs to; of a split and of `Plan.inputs` a union is one."""
    hive: dict[str, str | None] = field(default_factory=dict)
    """The columns that its folders spell out (`country=DE`), as text; None for the default partition."""


class FilePiece(Struct, frozen=True):
    """A part of a file: these row groups (or what is one in its format, see `readers/source.py`)."""

    file: int
    row_groups: list[int]
    first_rows: list[int]
    """The position of each row group's first row among the rows of the same input, which defines order and ties
    everywhere: the number of rows before it, or more than that where they are not counted."""


class Split(Struct, frozen=True):
    """What one transfer lease reads: pieces of one or several files of one input, in input order."""

    pieces: list[FilePiece]
    bytes: int
    """Stored bytes to fetch."""
    rows: int
    input: int = 0


class Table(Struct, frozen=True):
    """One input as it is read and sent."""

    name: str
    schema: bytes
    """The schema of the columns that the operation needs of it, with the types that the output is to declare, as IPC
    bytes; what travels is its transport schema (`columns/schema.py`)."""
    row_bytes: float
    """Mean Arrow bytes of a row."""
    rows: int
    """How many are expected to pass the filter."""
    filter_columns: bytes | None = None
    """The schema of the columns that only the filter reads, None where there are none."""
    sources: bytes | None = None
    """The schema of the columns that computed ones are made of, as they are declared, None where there are none."""
    read_bytes: float = 0.0
    """Mean Arrow bytes of a row as it is read, with what only the filter and computed columns need; 0: `row_bytes`."""
    format: str = "Parquet"
    """The format of its files."""
    strict: bool = True
    """All columns are read, so one that the plan does not know is an error."""
    absent: list[str] = field(default_factory=list)
    """Columns of the schema that are null in it, whatever the files have."""
    rows_read: int = 0
    bytes_read: int = 0
    """`rows_read`, `bytes_read`: of the row groups that are read."""
    given: bytes | None = None
    """The schema of the columns that `map` is given, as they are declared; None where there is no such function."""
    result: bytes | None = None
    """The schema of what it returns, of which `schema` is a part."""
    call_rows: int = 0
    """Rows of each of its calls."""
    coded: dict[str, str] = field(default_factory=dict)
    """Its columns that are among `Plan.values`, with the names that these have there."""

    def given_schema(self) -> pa.Schema | None:
        return None if self.given is None else pa.ipc.read_schema(pa.py_buffer(self.given))

    def result_schema(self) -> pa.Schema | None:
        return None if self.result is None else pa.ipc.read_schema(pa.py_buffer(self.result))

    def kept_schema(self) -> pa.Schema:
        """Of the columns that are read and kept: those that `map` is given, or that are sent."""
        given = self.given_schema()
        return self.arrow_schema() if given is None else given

    def arrow_schema(self) -> pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def computed_from(self) -> pa.Schema:
        return pa.schema([]) if self.sources is None else pa.ipc.read_schema(pa.py_buffer(self.sources))

    def filter_schema(self) -> pa.Schema:
        return pa.schema([]) if self.filter_columns is None else pa.ipc.read_schema(pa.py_buffer(self.filter_columns))


class SkewedKey(Struct, frozen=True):
    """A key of a join that is so frequent in one input that the rows there are spread over several files."""

    hash: int
    """The key's hash."""
    input: int
    pieces: int
    """How many files its rows are spread over, at even distances from the one that the hash says."""
    key: str
    bytes: int
    """`key`, `bytes`: for people."""


class Partners(Struct, frozen=True):
    """What is known of the keys that the other side of a join has."""

    input: int
    """The input whose rows are looked up, and not sent where they are certain to have no partner."""
    bloom: bytes
    """A Bloom filter of the other input's keys (`partitioning/bloom.py`)."""


class Plan(Struct, frozen=True):
    """The plan of a job on tables."""

    job: Job
    inputs: list[Table]
    """In the job's order; a union is one input."""
    schema: bytes
    """The Arrow schema of the operation's result, as IPC bytes."""
    files: list[File]
    splits: list[Split]
    """`files`, `splits`: of all inputs, those of the first one first."""
    layout: Layout
    summary: PlanSummary
    row_bytes: float
    """Mean Arrow bytes of an output row."""
    row_group_rows: int
    """Rows in each output row group."""
    dictionary: list[str] = field(default_factory=list)
    """Columns that are worth a Parquet dictionary."""
    boundaries: bytes | None = None
    """For range layouts, a record batch as an IPC stream: the sort columns (as the input has them, unified) and
    `position`; cells-1 rows."""
    code: list[str] = field(default_factory=list)
    """The digest of each of the job's sources of functions ("" for a folder)."""
    broadcast: list[int] = field(default_factory=list)
    """The inputs of a join that every worker reads whole, by `small`, in the order in which they are joined; what
    travels then are joined rows."""
    small: list[Split] = field(default_factory=list)
    skewed: list[SkewedKey] = field(default_factory=list)
    """The skewed keys of a join that is no broadcast."""
    partners: Partners | None = None
    """Of a join that drops rows before they are sent."""
    aligned: list[list[Split]] = field(default_factory=list)
    """For each output file, what is read for it when it is written, of inputs that are partitioned alike; nothing
    travels then."""
    key_column: str = ""
    """The column of keys that rows travel with behind their own columns, where the operation gives them some
    (`steps/keyed.py`)."""
    final: bytes | None = None
    """The schema of what is written, where the job says what becomes of the result's columns; None: `schema`."""
    united: list[Table] = field(default_factory=list)
    """Of a union, each of the job's inputs as it is read; files say which of them they belong to."""
    cuts: list[bytes] = field(default_factory=list)
    """Of a cluster, for each of its columns, the values where its ranges begin: as `boundaries`, without positions."""
    values: dict[str, list[str]] = field(default_factory=dict)
    """Text columns of the result that rows carry and nothing looks at, with the few values that a sample of each
    had."""

    def arrow_schema(self) -> pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def output_schema(self) -> pa.Schema:
        """Of what is written."""
        return self.arrow_schema() if self.final is None else pa.ipc.read_schema(pa.py_buffer(self.final))

    @property
    def coded(self) -> dict[str, list[str]]:
        """The columns of the result that travel as codes (`columns/coded.py`), with the values that these stand for.
        Not where shards begin with the rows of each cell: several of these are no stream of messages."""
        return self.values if self.layout.cells == self.layout.buckets else {}

    def coded_of(self, index: int) -> dict[str, list[str]]:
        """The same, of one of `tables` as it is read."""
        coded = self.coded
        return {name: coded[of] for name, of in self.tables[index].coded.items()} if coded else {}

    def coded_sent(self, index: int) -> dict[str, list[str]]:
        """The same, of the rows that a split of this input sends."""
        return self.coded if self.broadcast else self.coded_of(index)

    @property
    def tables(self) -> list[Table]:
        """The job's inputs as they are read."""
        return self.united or self.inputs

    def sent_schema(self, index: int) -> pa.Schema:
        """Of the rows that a split of this input sends."""
        schema = self.arrow_schema() if self.broadcast else self.inputs[index].arrow_schema()
        return schema.append(pa.field(self.key_column, pa.uint64())) if self.key_column else schema

    @property
    def first_splits(self) -> list[int]:
        """The number of each input's first split, and at the end the number of all splits."""
        inputs = [split.input for split in self.splits]
        return [bisect_left(inputs, at) for at in range(len(self.inputs))] + [len(inputs)]
