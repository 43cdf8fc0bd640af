"""Hive folders: `country=DE/part-00000.parquet`, for the columns of `output.partitionBy`.

A value is written as its text, percent-encoded, so that whatever stands in it names one folder; a null is
`__HIVE_DEFAULT_PARTITION__`, as Hive, Spark, DuckDB and this project's reader have it. The columns themselves are left
out of the files. Which values there are is known only when a partition is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.arrow import Array, schema_of
from shuffle_worker.plan.kinds import is_uuid, values_of

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

MOST_FOLDERS = 10_000
"""Of one partition: more files than these are a mistake in the choice of the column."""


def check_folders(names: Sequence[str], schema: pa.Schema) -> None:
    """schema: of the output. Raises InvalidSpec."""
    for at, name in enumerate(names):
        where = f"output.partitionBy[{at}]"
        if schema.get_field_index(name) < 0:
            raise InvalidSpec(f"{where}: the output has no column {name!r}; its columns are {', '.join(schema.names)}")
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
    return "/".join(f"{quote(n, safe='')}={_text(column, row)}" for n, column in zip(names, columns, strict=True))


def _text(column: Array, row: int) -> str:
    value = column[row]
    if not value.is_valid:
        return HIVE_NULL
    text = value.as_py() if pa.types.is_string(column.type) else value.cast(pa.string()).as_py()
    return quote(str(text), safe="")


def _can_name(kind: pa.DataType) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    times = types.is_date(kind) or types.is_timestamp(kind) or is_uuid(kind)
    return text or times or types.is_integer(kind) or types.is_boolean(kind)
