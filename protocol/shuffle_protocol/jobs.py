"""A job as workers are given it: its input, its operation, its output, what its functions need.

The operator's `api` makes it of a ShuffleJob, with defaults filled in and quantities as numbers. It travels in the
answer to `Register` (`messages.py`). As there, bytes are bytes, and a field can be added without a new version.
"""

from __future__ import annotations

from msgspec import Struct, field


class SortKey(Struct, frozen=True):
    column: str
    descending: bool = False
    nulls_first: bool = False


class Storage(Struct, frozen=True):
    """How to reach a store: an S3-compatible endpoint and fsspec options. Credentials come from the environment.
    patience: seconds that it may be away before the job fails; 0: the worker's default."""

    endpoint: str = ""
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    patience: float = 0.0


class ResultColumn(Struct, frozen=True):
    """A column that a job declares: of a file of text, or what a function returns. type: as Arrow writes it."""

    name: str
    type: str


class Csv(Struct, frozen=True):
    """How files of CSV are written. quote, escape: "" for none. header: whether the first record names the columns.
    null_values: unquoted texts that stand for no value. newlines_in_values: quoted line breaks are so frequent that
    files must not be cut."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: bool = True
    null_values: list[str] = field(default_factory=lambda: [""])
    newlines_in_values: bool = False


class Input(Struct, frozen=True):
    """schema: columns whose types the job says. csv: None for the defaults, with tabs in .tsv files. reader: a function
    of the user's instead of a format, `package.module:function`. base_path: the folder below which the names of folders
    are columns; "" for the one that the paths say."""

    paths: list[str]
    name: str = ""
    format: str = ""  # "" by suffix
    columns: list[str] | None = None
    filter: str = ""
    storage: Storage = field(default_factory=Storage)
    schema: list[ResultColumn] | None = None
    csv: Csv | None = None
    reader: str = ""
    base_path: str = ""


TARGET_BYTES = 256 << 20
"""Of an output file, where a job says neither how large nor how many."""


class Output(Struct, frozen=True):
    path: str
    format: str = "Parquet"
    partitions: int = 0  # 0: by target_bytes
    target_bytes: int = TARGET_BYTES
    compression: str = "Zstd"
    sort_within: list[SortKey] = field(default_factory=list)
    partition_by: list[str] = field(default_factory=list)  # hive folders: country=DE/part-00000.parquet
    overwrite: bool = False
    storage: Storage = field(default_factory=Storage)


class Repartition(Struct, frozen=True, tag="repartition"):
    """by: hash of these columns; range: by boundaries of these; neither: round robin."""

    by: list[str] = field(default_factory=list)
    range: list[str] = field(default_factory=list)


class Sort(Struct, frozen=True, tag="sort"):
    by: list[SortKey]


class Join(Struct, frozen=True, tag="join"):
    """how: Inner, Left, Right, Full, LeftSemi or LeftAnti. left, right: which of the job's inputs. left_on, right_on:
    as many key columns of each, pairwise. suffixes: for columns that both have. nulls_equal: a null key matches one."""

    how: str
    left: int
    right: int
    left_on: list[str]
    right_on: list[str]
    suffixes: list[str] = field(default_factory=lambda: ["", "_right"])
    nulls_equal: bool = False


class Aggregation(Struct, frozen=True):
    """One column of a groupBy's result. column: None for a count of rows. quantile: for that function only. other: the
    second column of a correlation. values: how many the largest or the smallest are."""

    function: str
    column: str | None
    name: str
    quantile: float | None = None
    ignore_nulls: bool = True
    other: str | None = None
    values: int = 0

    @property
    def columns(self) -> list[str]:
        """Those that it is worked out from."""
        return [name for name in (self.column, self.other) if name is not None]


class GroupBy(Struct, frozen=True, tag="groupBy"):
    """nulls: Keep (a null key is a group of its own) or Drop."""

    by: list[str]
    aggregations: list[Aggregation]
    nulls: str = "Keep"


class Apply(Struct, frozen=True, tag="apply"):
    """A function of the user's, `package.module:function`, called for each group. schema: None where it is inferred.
    per: Group or Partition. seconds: for one call. nulls: as in GroupBy."""

    by: list[str]
    function: str
    schema: list[ResultColumn] | None = None
    per: str = "Group"
    seconds: float = 3600.0
    nulls: str = "Keep"


class Distinct(Struct, frozen=True, tag="distinct"):
    """by: the columns that are compared; all where there are none. keep: First or Last, in input order."""

    by: list[str] = field(default_factory=list)
    keep: str = "First"


class Rechunk(Struct, frozen=True, tag="rechunk"):
    """chunks: lengths by dimension (its name, or its position), -1 for the whole dimension, "Auto" for what comes near
    target_bytes; dimensions that are not named keep theirs. shards: as chunks, none where empty. variables: arrays of
    the store; None: all. select: a slice for a dimension, as text. zarr_format: of the output, 0 as the input's.
    compression: Keep, or a name."""

    chunks: dict[str, int | str]
    target_bytes: int = 64 << 20
    shards: dict[str, int] = field(default_factory=dict)
    variables: list[str] | None = None
    select: dict[str, str] = field(default_factory=dict)
    zarr_format: int = 0
    compression: str = "Keep"


AnyOperation = Repartition | Sort | Join | GroupBy | Apply | Distinct | Rechunk


class CodeSource(Struct, frozen=True):
    """Where modules of the user's functions are: a folder of the worker's machine, or a .py, .zip or .whl file at any
    fsspec URL. name: what messages call it, the path where it is "". sha256: what a file's bytes must have; "" for any.
    last: looked at after what the image has, not before."""

    path: str
    name: str = ""
    storage: Storage = field(default_factory=Storage)
    sha256: str = ""
    last: bool = False


class Functions(Struct, frozen=True):
    """What the user's functions need. memory: bytes, out of the worker's, for the processes that they run in; 0 where
    the job has none."""

    sources: list[CodeSource] = field(default_factory=list)
    memory: int = 0


class Job(Struct, frozen=True):
    """A ShuffleJob, resolved: defaults filled in, quantities as numbers. Built by the operator's `api`."""

    uid: str
    name: str
    operation: AnyOperation
    inputs: list[Input]
    output: Output
    workers: int
    memory: int  # bytes each worker may use
    method: str = "Auto"  # or "PeerToPeer", "ObjectStore"
    preemptible: bool = False  # workers run where they may be taken away at any time
    functions: Functions = field(default_factory=Functions)
    retain_shards: bool = False  # workers keep what they sent, so that a repair need not read
    most_workers: int = 0  # grow up to so many when the plan is there; 0: `workers` it is
