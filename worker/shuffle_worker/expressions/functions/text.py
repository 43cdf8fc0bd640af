"""Functions of text. Characters are code points; positions begin with 1, and negative ones count from the end."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrow import Array, call, repeated, scalar
from shuffle_worker.expressions.functions.registry import (
    TEXT,
    WHOLE,
    Kernel,
    Section,
    named,
    number_constant,
    optional,
    plain,
    same,
    several,
    text_constant,
)
from shuffle_worker.expressions.typed.lists import element_of
from shuffle_worker.expressions.typed.rows import each, texts

FUNCTIONS_OF_TEXT = Section("Text")
define = FUNCTIONS_OF_TEXT.define

SPACES = "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""What trim takes away: spaces of all kinds, but neither tabs nor line breaks."""

LONGEST = 65_536
"""Characters that a text may be padded to."""

CHARACTERS = text_constant("characters")


def only(column: Array) -> object:
    """The one value that a column has, as where a constant was given; None where it has several, or a null."""
    if not len(column) or column.null_count:
        return None
    first = column[0]
    return first.as_py() if call("all", call("equal", column, first)).as_py() else None


def _substr(text: Array, start: Array, length: Array | None = None) -> Array:
    first, size = only(start), None if length is None else only(length)
    if isinstance(first, int) and first >= 1:
        if length is None:
            return pc.utf8_slice_codeunits(text, start=first - 1)
        if isinstance(size, int) and size >= 0:
            return pc.utf8_slice_codeunits(text, start=first - 1, stop=first - 1 + size)
    if length is None:
        return each(text.type, _behind, text, start)
    return each(text.type, _slice, text, start, length)


def _behind(text: str, start: int) -> str:
    return text[max(start - 1 if start >= 0 else len(text) + start, 0) :]


def _slice(text: str, start: int, length: int) -> str:
    """A negative length goes to the left of the start."""
    begin = start - 1 if start >= 0 else len(text) + start
    begin, end = (begin, begin + length) if length >= 0 else (begin + length, begin)
    return text[max(begin, 0) : max(end, 0)]


def _left(text: Array, count: Array) -> Array:
    size = only(count)
    if isinstance(size, int):
        return pc.utf8_slice_codeunits(text, start=0, stop=size)
    return each(text.type, lambda one, many: one[:many], text, count)


def _right(text: Array, count: Array) -> Array:
    size = only(count)
    if isinstance(size, int) and size:
        return pc.utf8_slice_codeunits(text, start=-size)
    return each(text.type, lambda one, many: one[-many:] if many else "", text, count)


def _padded(left: bool) -> Kernel:
    def kernel(text: Array, length: int, fill: str = " ") -> Array:
        short = pc.utf8_slice_codeunits(text, start=0, stop=length)
        missing = call("subtract", scalar(length, pa.int32()), call("utf8_length", short).cast(pa.int32()))
        most = call("max", missing).as_py() or 0
        if most and not fill:
            raise ValueError("there is nothing to fill with, and a text is too short")
        whole = (fill * (most // max(len(fill), 1) + 1))[:most]
        padding = texts([whole[:at] for at in range(most + 1)]).take(missing).cast(text.type)
        both = (padding, short) if left else (short, padding)
        return call("binary_join_element_wise", *both, scalar("", text.type))  # type: ignore[no-any-return]

    return kernel


def _split_part(text: Array, separator: str, at: int) -> Array:
    if not separator:
        return each(text.type, lambda one: _character(one, at), text)
    parts = pc.split_pattern(text, pattern=separator)
    nothing = call("if_else", call("is_valid", text), scalar("", text.type), scalar(None, text.type))
    return call("coalesce", element_of(parts, repeated(scalar(at, pa.int64()), len(text))), nothing)  # type: ignore[no-any-return]


def _character(text: str, at: int) -> str:
    if at > 0:
        return text[at - 1 : at]
    return text[at] if 0 < -at <= len(text) else ""


def _trimmed(function: str) -> Kernel:
    def kernel(text: Array, characters: str = SPACES) -> Array:
        return call(function, text, characters=characters) if characters else text

    return kernel


def _replaced(text: Array, old: str, new: str) -> Array:
    return pc.replace_substring(text, pattern=old, replacement=new) if old else text


def _tested(function: str, test: str) -> Kernel:
    def kernel(text: Array, part: Array) -> Array:
        one = only(part)
        if isinstance(one, str):
            return call(function, text, pattern=one)  # type: ignore[no-any-return]
        return each(pa.bool_(), lambda whole, some: getattr(whole, test)(some), text, part)

    return kernel


has = _tested("match_substring", "__contains__")


def _joined(*columns: Array) -> Array:
    """Nulls are left out."""
    empty = scalar("", columns[0].type)
    return call("binary_join_element_wise", *columns, empty, null_handling="replace", null_replacement="")  # type: ignore[no-any-return]


def _joined_with(separator: str, *columns: Array) -> Array:
    """Nulls are left out. A row of nothing else is empty: Arrow would leave out that row."""
    empty = scalar("", columns[0].type)
    nothing = call("is_null", call("coalesce", *columns))
    columns = (call("if_else", nothing, empty, columns[0]), *columns[1:])
    return call("binary_join_element_wise", *columns, scalar(separator, columns[0].type), null_handling="skip")  # type: ignore[no-any-return]


LENGTH = number_constant("length", -LONGEST, LONGEST)
SEPARATOR = text_constant("separator")

define("lower, lcase", [TEXT], same, plain("utf8_lower"), "In small letters.")
define("upper, ucase", [TEXT], same, plain("utf8_upper"), "In capitals.")
define(
    "trim",
    [TEXT, optional(CHARACTERS)],
    same,
    _trimmed("utf8_trim"),
    "Without the spaces, or these characters, around it.",
)
define("ltrim", [TEXT, optional(CHARACTERS)], same, _trimmed("utf8_ltrim"), "Without those in front.")
define("rtrim", [TEXT, optional(CHARACTERS)], same, _trimmed("utf8_rtrim"), "Without those at the end.")
define(
    "substr, substring",
    [TEXT, named("start", WHOLE), optional(named("length", WHOLE))],
    same,
    _substr,
    "So many characters from the start on; all where no length is given.",
)
define("left", [TEXT, WHOLE], same, _left, "The first characters; all but so many where the number is negative.")
define("right", [TEXT, WHOLE], same, _right, "The last characters; all but so many where the number is negative.")
define(
    "lpad",
    [TEXT, LENGTH, optional(text_constant("fill"))],
    same,
    _padded(left=True),
    "Filled with spaces, or this text, in front until it has the length; cut off where it is longer.",
)
define("rpad", [TEXT, LENGTH, optional(text_constant("fill"))], same, _padded(left=False), "The same behind it.")
define("concat", [several(TEXT)], same, _joined, "One behind the other; nulls are left out.", alike=True)
define(
    "concat_ws",
    [SEPARATOR, several(TEXT)],
    same,
    _joined_with,
    "The same with a separator between them.",
    alike=True,
)
define("replace", [TEXT, text_constant("old"), text_constant("new")], same, _replaced, "With each `old` as `new`.")
define(
    "split_part",
    [TEXT, SEPARATOR, number_constant("number", -(2**31), 2**31)],
    same,
    _split_part,
    "The part between separators that has this number, from 1, or from the end with -1; empty where there is none.",
)
define(
    "starts_with",
    [TEXT, named("part", TEXT)],
    pa.bool_(),
    _tested("starts_with", "startswith"),
    "Whether it begins so.",
    alike=True,
)
define(
    "ends_with, suffix",
    [TEXT, named("part", TEXT)],
    pa.bool_(),
    _tested("ends_with", "endswith"),
    "Whether it ends so.",
    alike=True,
)
define(
    "strpos, instr, position",
    [TEXT, named("part", TEXT)],
    pa.int64(),
    lambda text, part: each(pa.int64(), lambda whole, some: whole.find(some) + 1, text, part),
    "Where the other text is in it, 0 where it is not; also written POSITION(part IN text).",
)
