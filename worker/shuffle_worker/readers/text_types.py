"""Types that were found from text (CSV, JSON): what is noted beside them, and how those of several files become one.

A type from text says less than a file that says its types: whole numbers may be the first values of a column of
fractions, dates those of a column of times. Where a number would lose digits in the common type there is none.
Called by the readers of text, which note, and by `inputs/reading.py`, which brings files together. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shuffle_worker.columns.arrow import Field, children, parts, schema_of
from shuffle_worker.columns.unify import Conflict, common_type

if TYPE_CHECKING:
    from shuffle_worker.readers.forms import Inferred

LONG = b"shuffle.long"
"""A note on a field of whole numbers: doubles do not hold every one of them."""

CUT = b"shuffle.cut"
"""A note on a field of text: all values are numbers, and this one has more digits than any type that is found holds."""

WIDE = 38
WIDEST = 76
"""Digits of decimal128 and decimal256."""


def field_of(name: str, found: Inferred) -> Field:
    """A column with what is noted beside its type."""
    notes = {LONG: b"1"} if found.long else {CUT: found.cut.encode()} if found.cut else None
    return pa.field(name, found.type, metadata=notes)


def plain(schema: pa.Schema) -> pa.Schema:
    """Without the notes."""
    return schema_of([_plain(field) for field in schema], schema.metadata)


def cut_short(schema: pa.Schema) -> list[str]:
    """What a person may want to know: columns of numbers that are text."""
    cut = [(field.name, (field.metadata or {}).get(CUT)) for field in schema if pa.types.is_string(field.type)]
    return [
        f"column {name!r} is text: {_shown(value)} has more digits than a double holds; declare its type in "
        "inputs[].schema, double (which rounds) or decimal128(38, 10) for example, to have numbers"
        for name, value in cut
        if value is not None
    ]


def _shown(text: bytes) -> str:
    return repr(text[:40].decode() + ("..." if len(text) > 40 else ""))


def _plain(field: Field) -> Field:
    return field.with_type(_plain_type(field.type)).remove_metadata()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([_plain(field) for field in children(kind)])
    if pa.types.is_list(kind):
        return pa.list_(_plain(parts(kind).value_field))
    return kind


def text_field(left: Field, right: Field) -> Field:
    """The field that holds the values of both, under the first one's name. Raises Conflict."""
    kind = _text_type(left, right)
    notes: Any = {**(left.metadata or {}), **(right.metadata or {})}
    return left.with_type(kind).with_nullable(left.nullable or right.nullable).with_metadata(notes)


def _text_type(left: Field, right: Field) -> pa.DataType:
    found = _wider(left, right) or _wider(right, left)
    if found is not None:
        return found
    types = pa.types
    kinds = left.type, right.type
    if pa.uint64() in kinds and pa.int64() in kinds:
        return decimal_for(_whole_digits(pa.uint64()), 0)
    if types.is_list(kinds[0]) and types.is_list(kinds[1]):
        child = text_field(parts(kinds[0]).value_field, parts(kinds[1]).value_field)
        return pa.list_(child.with_name("item"))
    if types.is_struct(kinds[0]) and types.is_struct(kinds[1]):
        fields = {field.name: field for field in children(kinds[0])}
        for field in children(kinds[1]):
            known = fields.get(field.name)
            fields[field.name] = field if known is None else text_field(known, field)
        return pa.struct(list(fields.values()))
    return common_type(*kinds)


def _wider(one: Field, other: Field) -> pa.DataType | None:
    """The type for both where the other one's kind of values holds this one's: fractions hold whole numbers."""
    types = pa.types
    if types.is_integer(one.type) and types.is_floating(other.type):
        if LONG in (one.metadata or {}):
            raise Conflict("whole numbers of more digits than a double holds, and fractions")
        return other.type
    if types.is_integer(one.type) and types.is_decimal(other.type):
        return decimal_for(_whole_digits(one.type), 0, other.type)
    if types.is_floating(one.type) and types.is_decimal(other.type):
        raise Conflict("numbers of more digits than a double holds, and doubles")
    if types.is_date(one.type) and types.is_timestamp(other.type) and other.type.tz is None:
        return other.type
    return None


def _whole_digits(kind: pa.DataType) -> int:
    return len(str(2**kind.bit_width))


def decimal_for(whole: int, scale: int, beside: pa.DataType | None = None) -> pa.DataType:
    """The decimal for numbers with so many digits before and behind the point, and for those of another decimal; it has
    room for more before it. Raises Conflict."""
    if beside is not None:
        of = parts(beside)
        whole, scale = max(whole, of.precision - of.scale), max(scale, of.scale)
    if whole + scale <= WIDE:
        return pa.decimal128(WIDE, scale)
    if whole + scale <= WIDEST:
        return pa.decimal256(WIDEST, scale)
    raise Conflict(f"{whole + scale} digits would be needed, {WIDEST} are the most")
