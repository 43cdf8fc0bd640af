"""Notes on columns: Iceberg's field ids, which must be one for each column, and whatever else files say of a column.

Parquet stores a number for each column, which Arrow shows as the note `PARQUET:field_id`, at any depth. Iceberg finds
columns by it, and by nothing else: two with the same number are one to it, and a wrong number is another column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shuffle_worker.columns.arrow import Field, children
from shuffle_worker.columns.convert import with_children
from shuffle_worker.inputs.metadata.notes import Told, quoted

ID = b"PARQUET:field_id"


def agreed(field: Field, schemas: Sequence[pa.Schema], told: Told) -> Field:
    """A column with the notes on which all files agree that have it."""
    found = [one.field(field.name) for one in schemas if one.get_field_index(field.name) >= 0]
    if len(found) < 2:
        return field
    first = _numbers(found[0])
    if any(_numbers(one) != first for one in found[1:]):
        told.say(f"the field id of {field.name!r} is left out: files give it different ones")
        field = _without(field)
    notes = field.metadata
    if not notes:
        return field
    kept: Any = {
        key: value for key, value in notes.items() if all((one.metadata or {}).get(key) == value for one in found)
    }
    gone = [key.decode(errors="replace") for key in notes if key not in kept]
    if gone:
        told.say(f"notes on {field.name!r} are left out ({quoted(gone)}): files say different things")
    return field.with_metadata(kept) if gone else field


def unique(fields: list[Field], told: Told) -> list[Field]:
    """The output's columns, without field ids where two columns would have the same."""
    numbers = [number for field in fields for _, number in _numbers(field)]
    if len(set(numbers)) == len(numbers):
        return fields
    told.say("field ids are left out: columns of different tables have the same ones")
    return [_without(field) for field in fields]


def _numbers(field: Field) -> list[tuple[str, bytes]]:
    """(path, id) of a column and all that is in it."""
    return list(_below(field, field.name))


def _below(field: Field, path: str) -> Iterator[tuple[str, bytes]]:
    number = (field.metadata or {}).get(ID)
    if number is not None:
        yield path, number
    if pa.types.is_nested(field.type):
        for child in children(field.type):
            yield from _below(child, f"{path}.{child.name}")


def _without(field: Field) -> Field:
    notes: Any = {key: value for key, value in (field.metadata or {}).items() if key != ID}
    bare = field.with_metadata(notes) if notes else field.remove_metadata()
    kind = field.type
    if not pa.types.is_nested(kind) or not list(_below(bare, "")):
        return bare
    return bare.with_type(with_children(kind, [_without(child) for child in children(kind)]))
