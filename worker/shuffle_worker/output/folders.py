"""Hive folders: `country=DE/part-00000.parquet`, for the columns of `output.partitionBy`.

A value is written as its text; only the characters that Hive and Spark escape are percent-encoded, because Spark
decodes each byte by itself, and would not have back what is encoded beyond ASCII. A null is
`__HIVE_DEFAULT_PARTITION__`, as Hive, Spark, DuckDB and this project's reader have it. The columns themselves are left
out of the files. Which values there are is known only when a partition is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.units import some
from shuffle_worker.columns.arrow import Array, schema_of
from shuffle_worker.columns.hive import HIVE_NULL, unescaped
from shuffle_worker.columns.kinds import is_uuid, values_of
from shuffle_worker.storage import urls

MOST_FOLDERS = 10_000
"""Of one partition: more files than these are a mistake in the choice of the column."""

MOST_NAME = 255
"""Bytes of a name in a file system."""

MOST_KEY = 1024
"""Bytes of a key in S3 and in Google's store; Azure takes as many characters."""

NAMED = 20
"""Columns that an error lists."""

SHOWN = 40
"""Characters of a value in a message."""

_FILE = "/part-00000.parquet.brotli"

_ESCAPED = str.maketrans(
    {character: f"%{ord(character):02X}" for character in (*map(chr, range(32)), *"\"#%'*/:=?\\\x7f{[]^")}
)
"""What Hive and Spark escape in the names of folders, and NUL, which no file system takes."""


def check_folders(names: Sequence[str], schema: pa.Schema) -> None:
    """schema: of the output. Raises InvalidSpec."""
    for at, name in enumerate(names):
        where = f"output.partitionBy[{at}]"
        if schema.get_field_index(name) < 0:
            raise InvalidSpec(
                f"{where}: the output has no column {name!r}; its columns are {some(schema.names, NAMED)}"
            )
        if name[:1] in ("_", "."):
            raise InvalidSpec(
                f"{where}: {name!r} would name folders that readers pass over as hidden; rename the column before"
            )
        kind = schema.field(name).type
        if not _can_name(values_of(kind)):
            raise InvalidSpec(
                f"{where}: {name!r} is {kind}, whose values cannot name folders; choose a column of text, whole "
                "numbers, booleans, dates, times or UUIDs"
            )
    if len(set(names)) < len(names):
        raise InvalidSpec("output.partitionBy: a column is named twice")
    if names and len(names) == len(schema):
        raise InvalidSpec(
            "output.partitionBy: names every column of the output, so nothing is left for the files; leave one out"
        )


def file_schema(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """The schema without the columns that folders spell out."""
    return schema_of([field for field in schema if field.name not in names], schema.metadata)


def folder_of(names: Sequence[str], columns: Sequence[Array], row: int) -> str:
    """The folder of a row: `country=DE/year=2026`."""
    return "/".join(f"{escaped(n)}={_text(n, column, row)}" for n, column in zip(names, columns, strict=True))


def check_name(folder: str, names: Sequence[str], output: str) -> None:
    """folder: as `folder_of` gives it. Raises DataError where the output's store does not take such a name."""
    local = urls.scheme_of(output) == "file"
    segments = folder.split("/")
    lengths = [len(segment.encode()) for segment in segments]
    if max(lengths) <= MOST_NAME and (local or len(folder) + len(output) < MOST_NAME):
        return
    longest = lengths.index(max(lengths))
    if local:
        takes, size, most = "a name", lengths[longest], MOST_NAME
    else:
        key = urls.canonical(output).partition("://")[2].partition("/")[2].rstrip("/")
        takes, size, most = "a key", len(f"{key}/{folder}{_FILE}".encode()), MOST_KEY
    if size > most:
        value = unescaped(segments[longest].partition("=")[2])
        raise DataError(
            f"output.partitionBy: column {names[longest]!r} has a value of {len(value):,} characters "
            f"({value[:SHOWN]!r}{'...' if len(value) > SHOWN else ''}), which makes {takes} of {size:,} bytes where "
            f"{most:,} are taken; choose a column of shorter values, or leave such rows out by a filter"
        )


def too_many(names: Sequence[str], found: str, most: int) -> str:
    """The words for a partition of too many folders, or partitions."""
    columns = ", ".join(names)
    return (
        f"output.partitionBy: {columns} {'has' if len(names) == 1 else 'have'} {found}, and more than {most:,} folders "
        f"are not made of them ({MOST_FOLDERS:,} a partition); choose columns of fewer values, or repartition by them "
        "into more partitions"
    )


def escaped(text: str) -> str:
    """As a folder's name has it: what `columns/hive.py` reads back as the same text."""
    return text.translate(_ESCAPED)


def _text(name: str, column: Array, row: int) -> str:
    value = column[row]
    if not value.is_valid:
        return HIVE_NULL
    try:
        text = str(value.as_py() if pa.types.is_string(column.type) else value.cast(pa.string()).as_py())
    except UnicodeDecodeError as error:
        raise DataError(
            f"output.partitionBy: column {name!r} holds {value.as_buffer().to_pybytes()!r}, which is no text in UTF-8 "
            "and cannot name a folder; leave such rows out by a filter"
        ) from error
    if text == HIVE_NULL:
        return f"%5F{text[1:]}"  # a text, and no null
    return escaped(text)


def _can_name(kind: pa.DataType) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    times = types.is_date(kind) or types.is_timestamp(kind) or is_uuid(kind)
    return text or times or types.is_integer(kind) or types.is_boolean(kind)
