"""Which texts are values of a type: one answer for the plan, which finds types, and for the reader, which uses them.

    infer      the type of a column of text: the first of a few whose form every value has
    typed      the values of a column whose type is known; what is not in the type's form is refused by row

A type that was found takes only what it would have been found from, whether that stood in the first rows or behind
them. A type that the job declares takes more, as long as the value stays the same: blanks around it, a plus, zeros
before a number, `1` and `0` for bool, and numbers with more digits than a double has, which become the nearest one.
docs/formats.md has the table. A column at a time. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.columns.arrow import I64, Array, Bools, bools, call, int64_array, nulls, parts, scalar, timestamp
from shuffle_worker.columns.schema import convert
from shuffle_worker.readers.digits import SURE, beyond, kept

Bytes = npt.NDArray[np.uint8]

DIGITS = "more digits than a double holds"

WORD = r"(?i)^[+-]?(nan|inf|infinity)$"
"""The doubles that have no digits."""

BARE = r"^(0|-?[1-9][0-9]{0,19})$"
LEAST, MOST = -(1 << 63), (1 << 64) - 1
"""Whole numbers of `int64` and `uint64`: how they are written, in no more digits than these have; the ends of both."""

TINY = 1e-300
"""Near where doubles end; smaller ones have fewer digits."""

ZERO, NINE, MINUS, PLUS, LOWER_X, UPPER_X = b"09-+xX"


class Unfit(Exception):
    """A value that is not of the type's form. row: its row. why: more than that, if there is more to say."""

    def __init__(self, row: int, why: str = "") -> None:
        super().__init__(why)
        self.row = row
        self.why = why


class Inferred(NamedTuple):
    """The type that a column of text was found to have."""

    type: pa.DataType
    long: bool = False
    """Whole numbers of which a double does not hold every one."""
    cut: str = ""
    """The column is text although all of it are numbers, because of this one, which has more digits than any type of
    numbers that is found holds."""


MOMENTS: list[pa.DataType] = [timestamp(unit, zone) for zone in (None, "UTC") for unit in ("s", "us", "ns")]
NAMED: list[pa.DataType] = [pa.bool_(), pa.date32(), pa.time32("s"), *MOMENTS]


def infer(text: Array) -> Inferred:
    """The narrowest type that takes every value of a column of text: whole numbers, fractions, true and false, dates,
    times of day, times, else text. Nulls are of any type."""
    if text.null_count == len(text):
        return Inferred(pa.null())
    for whole in (pa.int64(), pa.uint64()):
        if _takes(whole, text):
            return Inferred(whole, long=beyond(text.cast(whole)))
    try:
        if _takes(pa.float64(), text):
            return Inferred(pa.float64())
    except Unfit as unfit:
        if _are_numbers(text):
            return Inferred(pa.string(), cut=str(text[unfit.row].as_py()))
    return Inferred(infer_named(text, NAMED))


def infer_named(text: Array, kinds: list[pa.DataType]) -> pa.DataType:
    """The first of these types that takes every value, else text."""
    if text.null_count == len(text):
        return pa.null()
    return next((kind for kind in kinds if _takes(kind, text)), pa.string())


def _takes(kind: pa.DataType, text: Array) -> bool:
    """Whether a type takes every value; some are tried first, because a refusal costs Arrow more than a value. Raises
    Unfit where there are too many digits."""
    try:
        for count in (16, 1024, len(text)):
            _typed(text.slice(0, count), kind, declared=False)
    except pa.ArrowInvalid:
        return False
    except Unfit as unfit:
        if unfit.why:
            raise
        return False
    return True


def _are_numbers(text: Array) -> bool:
    """Whether all values would be doubles if digits did not matter."""
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return not len(_misspelled(_Chars(text), values))


def typed(text: Array, kind: pa.DataType, *, declared: bool = False) -> Array:
    """A column of text (`string`) as values of a type. Raises Unfit for the first row that the type does not take."""
    if pa.types.is_dictionary(kind):
        return convert(typed(text, kind.value_type, declared=declared), kind)
    try:
        return _typed(text, kind, declared)
    except pa.ArrowInvalid:
        row = _first_refused(text, kind, declared)
        return _refuse(text, row, kind, declared)


def _refuse(text: Array, row: int, kind: pa.DataType, declared: bool) -> Array:
    """Raises where the value itself shows why it was refused."""
    try:
        _typed(text.slice(row, 1), kind, declared)
    except Unfit as unfit:
        raise Unfit(row, unfit.why) from None
    except pa.ArrowInvalid:
        pass
    raise Unfit(row)


def _first_refused(text: Array, kind: pa.DataType, declared: bool) -> int:
    """By halves, because Arrow does not say which row it was."""
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            _typed(text.slice(low, middle + 1 - low), kind, declared)
        except (pa.ArrowInvalid, Unfit):
            high = middle
        else:
            low = middle + 1
    return low


def _typed(text: Array, kind: pa.DataType, declared: bool) -> Array:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return text.cast(kind)
    if types.is_integer(kind):
        return _whole(text, kind, declared)
    if types.is_floating(kind):
        return _fractions(text, kind, declared)
    if types.is_decimal(kind) and not declared:
        return _found_decimals(text, kind)
    if types.is_boolean(kind):
        return _flags(text, declared)
    if types.is_time(kind):
        return _times_of_day(_trimmed(text) if declared else text, kind)
    if types.is_null(kind):
        return _nulls(text)
    return _parsed(text, kind, declared, _trimmed)[1]


def _parsed(text: Array, kind: pa.DataType, declared: bool, cleaned: Callable[[Array], Array]) -> tuple[Array, Array]:
    """The values, behind the text that they are of: cleaned where a declared type does not take it as it is."""
    try:
        return text, text.cast(kind)
    except pa.ArrowInvalid:
        if not declared:
            raise
        text = cleaned(text)
        return text, text.cast(kind)


def _check_none(rows: I64) -> None:
    """Raises Unfit for the first of some rows."""
    if len(rows):
        raise Unfit(int(rows[0]))


def _nulls(text: Array) -> Array:
    if text.null_count < len(text):
        _check_none(np.flatnonzero(_Chars(text).valid))
    return nulls(len(text), pa.null())


def _flags(text: Array, declared: bool) -> Array:
    if declared:
        return _trimmed(text).cast(pa.bool_())
    values = text.cast(pa.bool_())
    _check_none(np.flatnonzero(_Chars(text).lengths == 1))  # Arrow takes 1 and 0 too
    return values


def _times_of_day(text: Array, kind: pa.DataType) -> Array:
    """Arrow reads them from text only as a part of a day."""
    lengths = _Chars(text).lengths
    _check_none(np.flatnonzero((lengths > 0) & (lengths < len("00:00"))))
    day = call("binary_join_element_wise", scalar("1970-01-01T", pa.string()), text, scalar("", pa.string()))
    times: Array = day.cast(timestamp(parts(kind).unit)).cast(kind)
    return times


def _whole(text: Array, kind: pa.DataType, declared: bool) -> Array:
    text, values = _parsed(text, kind, declared, lambda text: _without_plus(_trimmed(text)))
    chars = _Chars(text)
    _check_none(chars.hexadecimal() if declared else chars.zero_led(whole=True))
    return values


def _found_decimals(text: Array, kind: pa.DataType) -> Array:
    """Found only where some files have `int64` and others `uint64`, so each value is of one of the two."""
    bare = call("if_else", call("match_substring_regex", text, pattern=BARE), text, scalar(None, pa.string()))
    values: Array = call("cast", bare, kind)
    least, most = (scalar(Decimal(end), kind) for end in (LEAST, MOST))
    fits = call("and", call("greater_equal", values, least), call("less_equal", values, most))
    wrong = call("and", call("is_valid", text), call("invert", call("fill_null", fits, scalar(False, pa.bool_()))))
    rows = np.flatnonzero(bools(wrong))
    if len(rows):
        raise Unfit(int(rows[0]))
    return values


def _fractions(text: Array, kind: pa.DataType, declared: bool) -> Array:
    text, values = _parsed(text, kind, declared, _trimmed)
    chars = _Chars(text)
    _check_none(_no_words(chars, values) if declared else _misspelled(chars, values))
    if not declared:
        _keep_digits(chars, values)
    return values


def _misspelled(chars: _Chars, values: Array) -> I64:
    """Rows of what Arrow takes for a double although nobody writes one so."""
    rows = [chars.zero_led(whole=False), chars.rows_of(PLUS), _no_words(chars, values)]
    return np.sort(np.concatenate(rows))


def _no_words(chars: _Chars, values: Array) -> I64:
    """Rows that are infinite or no number although their text does not say so: `1e400`, `nan(x)`."""
    finite = call("is_finite", values.cast(pa.float64()))
    if call("all", finite).as_py() is not False:
        return np.zeros(0, np.int64)
    odd = call("and", call("invert", finite), call("invert", call("match_substring_regex", chars.text, pattern=WORD)))
    return np.flatnonzero(bools(call("fill_null", odd, scalar(False, pa.bool_()))))


def _keep_digits(chars: _Chars, values: Array) -> None:
    """Raises Unfit for the first number that the double is not. Only long numbers and tiny ones are examined
    closely."""
    longest = int(chars.lengths.max(initial=0))
    if longest <= len("1e-99"):
        return
    numbers = np.frombuffer(parts(values.buffers()[1]), np.float64)[values.offset :][: len(values)]
    rows = np.flatnonzero((chars.lengths > SURE) & np.isfinite(numbers)) if longest > SURE else np.zeros(0, np.int64)
    sizes = np.abs(numbers[rows])
    rows = rows[(chars.lengths[rows] > SURE + 1) | (sizes >= 10.0**SURE)]
    tiny = np.flatnonzero((numbers < TINY) & (numbers > -TINY))
    if len(tiny):
        rows = np.union1d(rows, tiny[chars.lengths[tiny] > len("1e-99")])
    if not len(rows):
        return
    picked = int64_array(rows)
    some = len(rows) < len(numbers)
    text, back = (chars.text.take(picked), values.take(picked)) if some else (chars.text, values)
    lost = np.flatnonzero(~kept(text, back))
    if len(lost):
        raise Unfit(int(rows[lost[0]]), DIGITS)


def _trimmed(text: Array) -> Array:
    found: Array = call("ascii_trim_whitespace", text)
    return found


def _without_plus(text: Array) -> Array:
    found: Array = call("replace_substring_regex", text, pattern=r"^\+([0-9])", replacement=r"\1")
    return found


class _Chars:
    """The characters of a column of text, for questions that all of its values are asked at once."""

    def __init__(self, text: Array) -> None:
        _, offsets, data = text.buffers()
        ends = np.frombuffer(parts(offsets), np.int32)[text.offset :][: len(text) + 1]
        self.text = text
        self.starts = ends[:-1]
        self.lengths = np.diff(ends)
        self._raw = np.frombuffer(parts(data) or b"\0", np.uint8)

    @property
    def valid(self) -> Bools:
        return bools(parts(self.text).is_valid())

    @cached_property
    def _first(self) -> Bytes:
        found = self._raw[np.minimum(self.starts, len(self._raw) - 1)]
        return found if self.lengths.all() else found * (self.lengths > 0)

    def rows_of(self, first: int) -> I64:
        """Rows that begin with a character."""
        return np.flatnonzero(self._first == first)

    def zero_led(self, *, whole: bool) -> I64:
        """Rows of numbers with zeros before them, behind a minus or not. whole: nothing follows a leading zero, as in
        numbers without a fraction; else no digit does."""
        plain, minus = self.rows_of(ZERO), self.rows_of(MINUS)
        minus = minus[self._at(minus, 1) == ZERO]
        if whole:
            return np.sort(np.concatenate([plain[self.lengths[plain] > 1], minus]))
        return np.sort(np.concatenate([plain[self._digit(plain, 1)], minus[self._digit(minus, 2)]]))

    def hexadecimal(self) -> I64:
        """Rows that begin as `0x`."""
        plain = self.rows_of(ZERO)
        second = self._at(plain, 1)
        rows: I64 = plain[(second == LOWER_X) | (second == UPPER_X)]
        return rows

    def _digit(self, rows: I64, behind: int) -> Bools:
        found = self._at(rows, behind)
        return (found >= ZERO) & (found <= NINE)

    def _at(self, rows: I64, behind: int) -> Bytes:
        """The character so far behind the first one, 0 where the value is shorter."""
        places = np.minimum(self.starts[rows] + behind, len(self._raw) - 1)
        return self._raw[places] * (self.lengths[rows] > behind)
