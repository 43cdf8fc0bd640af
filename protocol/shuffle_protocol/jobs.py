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


class StorageOptions(Struct, frozen=True):
    """How to reach a store: an S3-compatible endpoint and fsspec options. Credentials come from the environment."""

    endpoint: str = ""
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    patience: float = 0.0
    """Seconds that it may be away before the job fails; 0: the worker's default."""


class ResultColumn(Struct, frozen=True):
    """A column that a job declares: of a file of text, or what a function returns."""

    name: str
    type: str
    """As Arrow writes it."""


class Csv(Struct, frozen=True):
    """How files of CSV are written."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    """`quote`, `escape`: "" for none."""
    header: bool = True
    """Whether the first record names the columns."""
    null_values: list[str] = field(default_factory=lambda: [""])
    """Unquoted texts that stand for no value."""
    newlines_in_values: bool = False
    """Quoted line breaks are so frequent that files must not be cut."""


class Input(Struct, frozen=True):
    """One input of a job."""

    paths: list[str]
    name: str = ""
    format: str = ""  # "" by suffix
    columns: list[str] | None = None
    filter: str = ""
    storage: StorageOptions = field(default_factory=StorageOptions)
    schema: list[ResultColumn] | None = None
    """Columns whose types the job says."""
    csv: Csv | None = None
    """None for the defaults, with tabs in .tsv files."""
    reader: str = ""
    """A function of the user's instead of a format, `package.module:function`."""
    base_path: str = ""
    """The folder below which the names of folders are columns; "" for the one that the paths say."""
    compute: dict[str, str] = field(default_factory=dict)
    """Columns that are computed of others, by their names."""
    name_as: str = ""
    """A column that holds the input's name."""
    map: str = ""
    """A function of the user's that the rows go through, `package.module:function`."""
    map_schema: list[ResultColumn] | None = None
    """The columns that it returns; None: they are found out."""


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
    storage: StorageOptions = field(default_factory=StorageOptions)
    compute: dict[str, str] = field(default_factory=dict)
    """Columns that are computed of the result's, by their names."""
    filter: str = ""
    """Of the result's rows, with its computed columns."""
    columns: list[str] | None = None
    """Those that are written."""
    report: bool = False
    """The commit writes the job's report beside the manifest."""


class Repartition(Struct, frozen=True, tag="repartition"):
    """Rows to files: by hash, by range, or in turn."""

    by: list[str] = field(default_factory=list)
    """By the hash of these columns."""
    range: list[str] = field(default_factory=list)
    """By boundaries of these columns; in turn, where neither is given."""


class RandomOrder(Struct, frozen=True, tag="randomOrder"):
    """Every row at a random place of the whole output."""

    seed: int


class Sort(Struct, frozen=True, tag="sort"):
    by: list[SortKey]


class AsOf(Struct, frozen=True):
    """That a left row has one partner: of the right rows with its keys, the nearest in time."""

    left: str
    right: str
    """`left`, `right`: the columns of time."""
    direction: str = "Backward"
    """Backward, Forward or Nearest."""
    tolerance: str = ""
    """How far off it may be: a span (`spans.py`) or a number; "" for any."""
    exact: bool = True
    """A right row at the very time counts."""


class Join(Struct, frozen=True, tag="join"):
    """Two inputs brought together by equal keys."""

    how: str
    """Inner, Left, Right, Full, LeftSemi, LeftAnti, RightSemi, RightAnti, Cross or AsOf."""
    left: int
    right: int
    """`left`, `right`: which of the job's inputs."""
    left_on: list[str]
    right_on: list[str]
    """`left_on`, `right_on`: as many key columns of each, pairwise."""
    suffixes: list[str] = field(default_factory=lambda: ["", "_right"])
    """For the names of columns that both have."""
    nulls_equal: bool = False
    """A null key matches one."""
    as_of: AsOf | None = None
    """Of an AsOf join."""
    where: str = ""
    """What must hold besides for two rows that match."""
    field: str = "operation.join"
    """What messages call it."""


class StarJoin(Struct, frozen=True, tag="starJoin"):
    """Several joins of one table, one after the other; the right sides are small."""

    sides: list[Join]
    """Their left input is the same one: what is joined so far takes its place."""


class Aggregation(Struct, frozen=True):
    """One column of a groupBy's result."""

    function: str
    column: str | None
    """None for a count of rows."""
    name: str
    quantile: float | None = None
    """Which quantile, for that function only."""
    ignore_nulls: bool = True
    other: str | None = None
    """The second column of a correlation."""
    values: int = 0
    """How many, of `largest` and `smallest`."""

    @property
    def columns(self) -> list[str]:
        """The columns that it is computed from."""
        return [name for name in (self.column, self.other) if name is not None]


class GroupBy(Struct, frozen=True, tag="groupBy"):
    """One row for each combination of the keys."""

    by: list[str]
    aggregations: list[Aggregation]
    nulls: str = "Keep"
    """Keep (a null key is a group of its own) or Drop."""


class Apply(Struct, frozen=True, tag="apply"):
    """A function of the user's, `package.module:function`, called for each group."""

    by: list[str]
    function: str
    schema: list[ResultColumn] | None = None
    """The columns of the result; None: they are inferred."""
    per: str = "Group"
    """Group or Partition."""
    seconds: float = 3600.0
    """Seconds for one call."""
    nulls: str = "Keep"
    """As in GroupBy."""


class Distinct(Struct, frozen=True, tag="distinct"):
    """One row, or a few, of those that agree."""

    by: list[str] = field(default_factory=list)
    """The columns that are compared; all where there are none."""
    keep: str = "First"
    """First or Last, by `order_by` and then in input order."""
    order_by: list[SortKey] = field(default_factory=list)
    rows: int = 1
    """How many are kept."""


class Cluster(Struct, frozen=True, tag="cluster"):
    """Rows in the order of a curve through several columns."""

    by: list[str]
    curve: str = "Hilbert"
    """Hilbert or ZOrder."""


class Overlap(Struct, frozen=True):
    """The halo of a chunk that a function is called for."""

    depth: dict[str, tuple[int, int]]
    """Positions before and after, by dimension."""
    boundary: str = "None"
    """What is beyond the ends: Reflect, Periodic, Nearest, None, or a number as text."""
    boundaries: dict[str, str] = field(default_factory=dict)
    """The same, by dimension, in place of it."""
    trim: bool = True
    """The function returns the halo too."""


class Window(Struct, frozen=True, tag="window"):
    """Columns computed of the rows around each row."""

    by: list[str]
    """Rows that agree in these columns are one window."""
    order_by: list[SortKey] = field(default_factory=list)
    """The order of a window's rows; ties, and all rows where there is none, in the order of the input."""
    compute: dict[str, str] = field(default_factory=dict)
    """Expressions, by the columns that they give."""


class Rechunk(Struct, frozen=True, tag="rechunk"):
    """Arrays in chunks of another shape."""

    chunks: dict[str, int | str]
    """Lengths by dimension (its name, or its position), -1 for the whole dimension, "Auto" for what comes near
    target_bytes; dimensions that are not named keep theirs."""
    target_bytes: int = 64 << 20
    shards: dict[str, int] = field(default_factory=dict)
    """As `chunks`; empty: no shards."""
    variables: list[str] | None = None
    """Arrays of the store; None: all."""
    select: dict[str, str] = field(default_factory=dict)
    """A slice by dimension, as text."""
    zarr_format: int = 0
    """The output's; 0: the input's."""
    compression: str = "Keep"
    """Keep, or a name."""
    function: str = ""
    """`package.module:function`, called for each chunk; "": none."""
    overlap: Overlap | None = None
    """With function."""
    dtype: str = ""
    """The type that the function returns; "": it is found out."""
    seconds: float = 3600.0
    """Seconds for one call."""


AnyOperation = (
    Repartition | RandomOrder | Sort | Join | StarJoin | GroupBy | Apply | Distinct | Cluster | Window | Rechunk
)


class CodeSource(Struct, frozen=True):
    """Where modules of the user's functions are: a folder of the worker's machine, or a .py, .zip or .whl file at any
    fsspec URL."""

    path: str
    name: str = ""
    """What messages call it, the path where it is ""."""
    storage: StorageOptions = field(default_factory=StorageOptions)
    sha256: str = ""
    """What a file's bytes must have; "" for any."""
    last: bool = False
    """Looked at after what the image has, not before."""


class Functions(Struct, frozen=True):
    """What the user's functions need."""

    sources: list[CodeSource] = field(default_factory=list)
    memory: int = 0
    """Bytes, out of the worker's, for the processes that they run in; 0 where the job has none."""
    seconds: float = 3600.0
    """Seconds for one call of a `map`."""


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
    gpu: bool = False  # every worker has a GPU, for the functions
    workers_per_pod: int = 1  # so many run in one pod each, and start and end together

    @property
    def functions_called(self) -> int:
        """How many functions of the user's it calls. Each has a process of its own beside each lease."""
        operation = self.operation
        called = isinstance(operation, Apply) or (isinstance(operation, Rechunk) and bool(operation.function))
        return called + sum(bool(one.reader) + bool(one.map) for one in self.inputs)
