"""Text that is not UTF-8. Arrow's text columns should be UTF-8, but nobody checks, so files hold Latin-1 and the like.

Rows move, compare, hash and sort by the bytes, and Parquet, Feather and ORC return them unchanged. Names of folders,
CSV and JSON need characters, so there such text is an error that names the column. Pure.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Array, Scalar, parts
from shuffle_worker.columns.kinds import holds, is_text


def told_text(value: Scalar) -> str:
    """A text for people and for the manifest, with bytes that are not UTF-8 as `\\xff`."""
    data = parts(value).as_buffer()
    return "" if data is None else bytes(data).decode("utf-8", "backslashreplace")


def check_text(rows: pa.RecordBatch, name: str) -> None:
    """Raises DataError if a column holds text that is not UTF-8. name: the format that needs characters."""
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if not _is_utf8(column):
            raise DataError(
                f"column {field.name!r}: has text that is not UTF-8, which {name} cannot hold; write the column as "
                "UTF-8, leave it out with `columns`, or write Parquet or Feather"
            )


def _is_utf8(column: Array) -> bool:
    kind, of = column.type, parts(column)
    if is_text(kind):
        try:
            column.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid:
            return False
        return True
    if pa.types.is_struct(kind):
        return all(_is_utf8(of.field(at)) for at in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _is_utf8(of.keys) and _is_utf8(of.items)
    if pa.types.is_nested(kind) and holds(kind, is_text):
        return _is_utf8(of.values)
    return True
