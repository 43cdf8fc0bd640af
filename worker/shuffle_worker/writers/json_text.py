"""Arrow columns as JSON text, a column at a time.

Every function takes an array and returns one of text with a JSON value for each of its items; nothing in it is null,
for a null is the text `null`. Numbers are exact. What JSON has no form for is written as most readers,
Arrow's among them, take it: `NaN`, `Infinity` and `-Infinity`. Times are text in
ISO 8601, those with a zone in UTC. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, call, children, parts, repeated, scalar
from shuffle_worker.columns.schema import convert

_SPECIAL = r'["\\\x00-\x1f]'
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def lines(batch: pa.RecordBatch) -> Array:
    """One object a row, each with its line break."""
    return _joined(["{", *_members(batch.schema.names, batch.columns), "}\n"], batch.num_rows)


def json_values(array: Array) -> Array:
    text = _unmasked(array)
    if array.null_count == 0 or pa.types.is_null(array.type):
        return text
    found: Array = call("if_else", array.is_valid(), text, scalar("null", pa.string()))
    return found


def _unmasked(array: Array) -> Array:
    """The values; what stands for nulls is of no meaning, but there."""
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return repeated(scalar("null", pa.string()), len(array))
    if types.is_string(kind) or types.is_large_string(kind):
        return _quoted(_escaped(_filled(array.cast(pa.string()))))
    if types.is_floating(kind):
        return _floats(array)
    if types.is_timestamp(kind):
        zoned = array if kind.tz is None else array.cast(pa.timestamp(kind.unit, "UTC"))
        text = call("replace_substring", _filled(zoned.cast(pa.string())), pattern=" ", replacement="T")
        return _quoted(text)
    if types.is_date(kind) or types.is_time(kind):
        plain = array.cast(pa.date32()) if types.is_date(kind) else array
        return _quoted(_filled(plain.cast(pa.string())))
    if types.is_struct(kind):
        of = parts(array)
        fields = children(kind)
        columns = [of.field(at) for at in range(len(fields))]
        return _joined(["{", *_members([field.name for field in fields], columns), "}"], len(array))
    if types.is_map(kind):
        of = parts(array)
        begin, count = _range(array)
        keys = json_values(of.keys.slice(begin, count))
        items = json_values(of.items.slice(begin, count))
        return _lists(array, begin, _joined([keys, ":", items], count), "{", "}")
    if types.is_fixed_size_list(kind) or types.is_large_list(kind):
        return _unmasked(convert(array, pa.list_(parts(kind).value_field)))
    if types.is_list(kind):
        begin, count = _range(array)
        return _lists(array, begin, json_values(parts(array).values.slice(begin, count)), "[", "]")
    return _filled(array.cast(pa.string()))


def _members(names: list[str], columns: list[Array]) -> list[str | Array]:
    """`"a":` value `,"b":` value ..."""
    out: list[str | Array] = []
    for at, (name, column) in enumerate(zip(names, columns, strict=True)):
        out += [("," if at else "") + json.dumps(name, ensure_ascii=False) + ":", json_values(column)]
    return out


def _joined(pieces: list[str | Array], count: int) -> Array:
    if not any(not isinstance(piece, str) for piece in pieces):
        return repeated(scalar("".join(str(piece) for piece in pieces), pa.string()), count)
    values = [scalar(piece, pa.string()) if isinstance(piece, str) else piece for piece in pieces]
    found: Array = call("binary_join_element_wise", *values, scalar("", pa.string()))
    return found


def _lists(array: Array, begin: int, values: Array, left: str, right: str) -> Array:
    """The texts of a list's items as texts of lists. values: those from item `begin` on."""
    offsets = call("subtract", parts(array).offsets, scalar(begin, pa.int32()))
    texts = parts(pa.ListArray).from_arrays(offsets, values)
    inner = call("binary_join", texts, scalar(",", pa.string()))
    return _joined([left, inner, right], len(array))


def _range(array: Array) -> tuple[int, int]:
    """Which of its child's items a list array (a slice, perhaps) has: the first one, and how many."""
    offsets = parts(array).offsets
    begin, end = offsets[0].as_py(), offsets[len(array)].as_py()
    return int(begin), int(end - begin)


def _floats(array: Array) -> Array:
    wide = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
    text = _filled(wide.cast(pa.string()))
    whole = call("match_substring_regex", text, pattern=r"^-?[0-9]+$")
    if call("any", whole).as_py() is True:  # written so that it is read as a fraction again
        text = call("if_else", whole, _joined([text, ".0"], len(text)), text)
    finite = call("fill_null", call("is_finite", wide), scalar(True, pa.bool_()))
    if call("all", finite).as_py() is not False:
        return text
    for spelled, name in (("nan", "NaN"), ("-nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        same = call("equal", text, scalar(spelled, pa.string()))
        text = call("if_else", same, scalar(name, pa.string()), text)
    return text


def _filled(text: Array) -> Array:
    if not text.null_count:
        return text
    found: Array = call("fill_null", text, scalar("", pa.string()))
    return found


def _quoted(text: Array) -> Array:
    return _joined(['"', text, '"'], len(text))


def _escaped(text: Array) -> Array:
    if call("any", call("match_substring_regex", text, pattern=_SPECIAL)).as_py() is not True:
        return text
    replace: Callable[[str, str], Array] = lambda old, new: call(  # noqa: E731
        "replace_substring", text, pattern=old, replacement=new
    )
    text = replace("\\", "\\\\")
    text = replace('"', '\\"')
    for code in range(0x20):
        character = chr(code)
        if call("any", call("match_substring", text, pattern=character)).as_py() is True:
            text = replace(character, _SHORT.get(character, f"\\u{code:04x}"))
    return text
