"""Functions of lists and structs, and those that text and lists share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import Array, bools, call, children, int64_array, parts, scalar
from shuffle_worker.expressions.functions.registry import (
    ANY,
    LIST,
    STRUCT,
    TEXT_OR_LIST,
    WHOLE,
    Section,
    named,
    text_constant,
)
from shuffle_worker.expressions.functions.text import has
from shuffle_worker.expressions.typed.clock import rebuilt
from shuffle_worker.expressions.typed.coercion import is_text
from shuffle_worker.expressions.typed.expression import Call, Expression
from shuffle_worker.expressions.typed.lists import bounds, element_of
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.rows import arrays
from shuffle_worker.expressions.typed.written import Text, common_type, folded, is_null, taken_as

NESTED = Section("Lists and structs")
define, define_built = NESTED.define, NESTED.define_built


def _length(column: Array) -> Array:
    function = "utf8_length" if is_text(column.type) else "list_value_length"
    return call(function, column).cast(pa.int64())  # type: ignore[no-any-return]


def _has(column: Array, value: Array) -> Array:
    if is_text(column.type):
        return has(column, value)
    starts, lengths = bounds(column)
    rows = np.repeat(np.arange(len(column), dtype=np.int64), lengths)
    first = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(starts) else starts, lengths)
    items = parts(column).values.take(int64_array(first + np.arange(len(rows), dtype=np.int64)))
    same = bools(call("fill_null", call("equal", items, value.take(int64_array(rows))), scalar(False, pa.bool_())))
    found = np.zeros(len(column), np.bool_)
    found[rows[same]] = True
    answer = call("equal", rebuilt(found.astype(np.int64), column, pa.int64()), scalar(1, pa.int64()))
    return call("if_else", call("is_valid", value), answer, scalar(None, pa.bool_()))  # type: ignore[no-any-return]


def element(of: Expression, at: Expression) -> Expression:
    """`list[at]`."""
    return folded(
        Call(parts(of.type).value_type, lambda *both: element_of(*arrays(*both)), of, taken_as(at, pa.int64()))
    )


def field(of: Expression, name: str, words: str) -> Expression:
    """A field of a struct."""
    if not pa.types.is_struct(of.type):
        raise NotThatType(f"{words} has no parts, it is {of.type}")
    names = [one.name for one in children(of.type)]
    if names.count(name) != 1:
        raise NotThatType(f"{words} has no field {name!r}; its fields are {', '.join(names)}")
    kind = children(of.type)[names.index(name)].type
    return folded(Call(kind, lambda values: call("struct_field", values, name), of))


def _contains(given: Sequence[Expression], words: Sequence[str]) -> Expression:
    whole, part = given
    if is_text(whole.type) and (is_text(part.type) or is_null(part)):
        kind = common_type([whole, part])
    elif LIST.accepts(whole.type):
        kind = parts(whole.type).value_type
    else:
        raise NotThatType(f"CONTAINS needs text in text, or a list, {words[0]} is {whole.type}")
    if pa.types.is_nested(kind):
        raise NotThatType(f"CONTAINS: the items of {words[0]} are {kind}, which do not compare")
    try:
        part = taken_as(part, kind)
    except NotThatType:
        raise NotThatType(f"CONTAINS: the items of {words[0]} are {kind}, {words[1]} is {part.type}") from None
    return folded(Call(pa.bool_(), lambda *both: _has(*arrays(*both)), whole, part))


def _field(given: Sequence[Expression], words: Sequence[str]) -> Expression:
    if not isinstance(given[1], Text):
        raise NotThatType("STRUCT_EXTRACT: the field is text in single quotes")
    return field(given[0], given[1].text, words[0])


def _at(given: Sequence[Expression], words: Sequence[str]) -> Expression:
    if not LIST.accepts(given[0].type) or not pa.types.is_integer(given[1].type):
        raise NotThatType(f"a list and a whole number are needed, {words[0]} is {given[0].type}")
    return element(given[0], given[1])


define("length, len, char_length", [TEXT_OR_LIST], pa.int64(), _length, "How many characters, or items.")
define_built(
    "contains, list_contains",
    [TEXT_OR_LIST, ANY],
    _contains,
    "Whether the text has this in it, or the list this item.",
    gives="bool",
)
define_built(
    "list_element, element_at, list_extract",
    [LIST, named("number", WHOLE)],
    _at,
    "The item with this number, from 1, or from the end with -1, null where there is none; also written `list[1]`.",
    gives="as the items",
)
define_built(
    "struct_extract",
    [STRUCT, text_constant("field")],
    _field,
    "A field; also written `struct.field` or `struct['field']`.",
    gives="as the field",
)
