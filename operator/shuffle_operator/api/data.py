"""`spec.inputs` and `spec.output`: where rows come from and where they go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shuffle_operator.api.columns import DeclaredColumns
from shuffle_operator.api.types import (
    MIB,
    TIB,
    ApiModel,
    Column,
    Format,
    FreeObject,
    FunctionName,
    ResourceName,
    StoragePath,
    UniqueColumns,
    byte_quantity,
)

Expression = Annotated[str, Field(min_length=1, max_length=16_384)]
Expressions = dict[Column, Expression]


class SecretReference(ApiModel):
    """A Secret in the job's namespace."""

    name: ResourceName = Field(description="The Secret's name.")


class Storage(ApiModel):
    """How a store is reached, where its defaults are not enough."""

    secret_ref: SecretReference | None = Field(
        default=None,
        description="The Secret with the credentials; its keys become environment variables of the workers "
        "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...). Without it the workers' own identity is used.",
    )
    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")] | None = Field(
        default=None, description="The address of an S3-compatible server, for example https://minio.example.com:9000."
    )
    options: FreeObject | None = Field(
        default=None,
        repr=False,  # there may be a secret among them
        description="Further options of the fsspec file system (strings, numbers, booleans), for example anon: true.",
    )


class Csv(ApiModel):
    """How CSV files are written, where they are not as RFC 4180 has it."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="What stands between two values; in files called .tsv a tab where csv is left out."
    )
    quote: Annotated[str, Field(max_length=1)] = Field(
        default='"', description="What values are put in; twice inside of a value it stands for itself. Empty: nothing."
    )
    escape: Annotated[str, Field(max_length=1)] = Field(
        default="",
        description="The character that escapes the one after it, a backslash for example. Such files are read "
        "in one piece each.",
    )
    header: bool = Field(
        default=True,
        description="Whether the first record names the columns. Without it schema names them, or they are f0, f1, ...",
    )
    null_values: list[Annotated[str, Field(max_length=256)]] = Field(
        default=[""], max_length=64, description="Texts that stand for no value where they are not in quotes."
    )
    newlines_in_values: bool = Field(
        default=False,
        description="True: each file is read in one piece, because quoted values with line breaks would look like the "
        "text around them. Set it where a job says so; most such files do not need it.",
    )


class Input(ApiModel):
    """One table (or array store) to read: exactly one of path and paths."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")] | None = Field(
        default=None, description="What a join, messages and nameAs call this input; each has another."
    )
    path: StoragePath | None = Field(
        default=None,
        description="Any fsspec URL or a local path: a file, a folder (all files below it but hidden ones), or a glob. "
        "A path that exists as it is written is no glob, whatever characters it holds.",
    )
    paths: list[StoragePath] | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="Several files, folders or globs, read in this order.",
    )
    base_path: StoragePath | None = Field(
        default=None,
        description="The table's root: folders below it such as country=DE give columns, folders above it none. "
        "All paths are in it. Where absent, the root is the nearest folder, at the path or above it, that is no "
        "name=value, so hive/dt=2026-01-01/ has the column dt.",
    )
    format: Format | None = Field(default=None, description="How the files are stored; by their suffix where absent.")
    columns: Annotated[UniqueColumns, Field(min_length=1, max_length=10_000)] | None = Field(
        default=None, description="The columns to read, in the order of the output; all where absent."
    )
    compute: Expressions | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="Columns to compute: an SQL expression of the input's columns by each name, for example "
        "day: date_trunc('day', ts). One with the name of a column that is read takes its place. They are columns as "
        "all others: in filter, columns, keys and aggregations.",
    )
    filter: str | None = Field(
        default=None,
        min_length=1,
        max_length=16_384,
        description="An SQL boolean expression over the input's columns and the computed ones; only rows for which it "
        "is true are read. For example: country = 'DE' AND ts >= TIMESTAMP '2026-01-01'. It may use columns that are "
        "not in columns.",
    )
    name_as: Column | None = Field(
        default=None,
        description="A column to add that holds the input's name: which of several inputs a row is of. It is in "
        "filter, keys and output as all others.",
    )
    schema_: DeclaredColumns | None = Field(
        default=None,
        alias="schema",
        min_length=1,
        max_length=10_000,
        description="The types of columns of CSV and JSON files, and of what reader returns. Columns that are not "
        "named here get their types from the first rows of the files.",
    )
    csv: Csv | None = Field(default=None, description="How CSV files are written.")
    reader: FunctionName | None = Field(
        default=None,
        description="A function of your own instead of a format: (path, columns) -> Arrow table or tables, as "
        "package.module:function.",
    )
    map: FunctionName | None = Field(
        default=None,
        description="A function (table) -> table of your own, as package.module:function, that all rows go through, "
        "some thousand at a time, after compute and filter. It may return other columns, and more or fewer rows; the "
        "operation sees what it returns. Its parameter's annotation says what it is given, as with apply. See "
        "spec.functions for where it is found.",
    )
    map_schema: DeclaredColumns | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="The columns that map returns. Without it the function is called for a sample before the job "
        "starts, and what it returns then counts.",
    )
    storage: Storage | None = Field(default=None, description="How the input's store is reached.")


class Output(ApiModel):
    """Where the result goes: part-00000.parquet ..., _manifest.json, and _SUCCESS, which is written last."""

    path: StoragePath = Field(
        description="The folder to write to, any fsspec URL or a local path. Neither inside an input nor around one."
    )
    format: Format = Field(default="Parquet", description="How the files are stored.")
    partitions: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many files, exactly; some may be empty. Not together with targetPartitionSize.",
    )
    target_partition_size: byte_quantity(1 * MIB, 1 * TIB) | None = Field(  # type: ignore[valid-type]
        default=None,
        description="The size that files should have; the number of files follows from the input. 256Mi where neither "
        "this nor partitions is given.",
    )
    compression: Literal["Zstd", "Snappy", "Lz4", "Gzip", "Brotli", "None"] | None = Field(
        default=None,
        description="How the files are compressed: Zstd where absent, and None for CSV and JSON. Parquet takes all of "
        "them, CSV and JSON all but Snappy, ORC all but Brotli, Feather Zstd, Lz4 and None.",
    )
    partition_by: Annotated[UniqueColumns, Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="Columns whose values name folders, as in country=DE/part-00000.parquet, and are left out of the "
        "files. Each partition gives a file for each of its folders; to have one for each value, and the folders "
        "shared out among the workers, repartition by the same columns.",
    )
    sort_within: Annotated[UniqueColumns, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Columns that order the rows inside each file, ascending, nulls last. Not with sort, which orders "
        "them already.",
    )
    compute: Expressions | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="Columns to compute of the result's: an SQL expression by each name, for example "
        "share: paid / total. One with the name of a column of the result takes its place.",
    )
    filter: str | None = Field(
        default=None,
        min_length=1,
        max_length=16_384,
        description="An SQL boolean expression over the result's columns and the computed ones; only rows for which it "
        "is true are written. What HAVING is to a groupBy.",
    )
    columns: Annotated[UniqueColumns, Field(min_length=1, max_length=10_000)] | None = Field(
        default=None, description="The columns to write, in this order; all of the result and of compute where absent."
    )
    report: bool = Field(
        default=False,
        description="Write the job's report beside the manifest, as _report.html. It outlives the resource.",
    )
    on_existing: Literal["Fail", "Overwrite"] = Field(
        default="Fail",
        description="What to do where the folder already holds files: refuse the job, or replace them when the new "
        "output is complete.",
    )
    storage: Storage | None = Field(default=None, description="How the output's store is reached.")
