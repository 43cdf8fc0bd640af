"""Numbers in JSON that a double does not hold, found in the text of a block beside what Arrow made of it.

Arrow's parser keeps no text of a number, so the block is searched for numbers long enough to lose digits. The search
looks at every eighth byte: a run of sixteen digits cannot hide between two of them. Only what is found is examined
closely, a column of numbers at a time; single lines are taken apart only for a number that is lost in some column of
doubles. A block without long numbers costs about a thousandth of a second for a MiB. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.columns.arrow import I64, Array, Field, bools, call, children, int64_array, parts
from shuffle_worker.columns.unify import Conflict
from shuffle_worker.readers.digits import SURE, equal_text, kept, same_number
from shuffle_worker.readers.json_own import ITEMS, Path, numbers
from shuffle_worker.readers.text_types import decimal_for

Raw = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

STRIDE = 8

TINY = 1e-300

_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_SMALL = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?[eE]-0*(?:[3-9][0-9]{2}|[0-9]{4,})")


def _table(characters: bytes) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


_DIGITS = _table(b"0123456789.")
_TAIL = _table(b"0123456789eE+-")
_BEFORE = _table(b":,[ \t\r\n")


class Lost(NamedTuple):
    """A number that a double is not."""

    begin: int
    """Where its line begins in the block."""
    path: Path
    """The path of its column."""
    text: str


def lost_numbers(block: bytes, columns: Sequence[tuple[Field, Array]]) -> Iterator[Lost]:
    """The numbers of a block that its columns of doubles, at any depth, do not hold. block: whole lines, as Arrow has
    parsed them; columns: of those whose types were found, what it made of them."""
    doubles = [leaf for field, column in columns for leaf in _doubles(column, field.type)]
    if not doubles:
        return
    suspects = sorted(_suspects(block, np.concatenate(doubles)))
    kinds = {field.name: field.type for field, _ in columns}
    last = -1
    for at in suspects:
        begin = block.rfind(b"\n", 0, at) + 1
        if begin == last:
            continue
        last = begin
        end = block.find(b"\n", at)
        line = block[begin : end if end >= 0 else len(block)].decode()
        for path, text in numbers(line):
            if _is_double(kinds, path) and not _held(text):
                yield Lost(begin, path, text)


def exact_type(texts: Sequence[str]) -> pa.DataType | None:
    """The type that holds all of these numbers: uint64, else a decimal; None where there is none."""
    if all(text.isdigit() for text in texts) and max(int(text) for text in texts) < 1 << 64:
        return pa.uint64()
    whole, scale = 1, 0
    for text in texts:
        number = Decimal(text)
        if not number.is_finite():
            return None
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        if number:  # zeros at the end are no digits: a decimal takes them, however many there are
            kept_digits = len("".join(map(str, digits)).rstrip("0"))
            exponent += len(digits) - kept_digits
            scale, whole = max(scale, -exponent), max(whole, kept_digits + exponent)
    try:
        return decimal_for(whole, scale)
    except Conflict:
        return None


def with_type(field: Field, path: Path, kind: pa.DataType) -> Field:
    """The field with another type at the end of a path that begins with it."""
    if len(path) == 1:
        return field.with_type(kind)
    if path[1] == ITEMS:
        item = parts(field.type).value_field
        return field.with_type(pa.list_(with_type(item, path[1:], kind)))
    inner = [with_type(one, path[1:], kind) if one.name == path[1] else one for one in children(field.type)]
    return field.with_type(pa.struct(inner))


def _is_double(kinds: dict[str, pa.DataType], path: Path) -> bool:
    kind = kinds.get(path[0])
    for name in path[1:]:
        if kind is None:
            return False
        if name == ITEMS:
            kind = parts(kind).value_type if pa.types.is_list(kind) else None
        else:
            at = parts(kind).get_field_index(name) if pa.types.is_struct(kind) else -1
            kind = parts(kind).field(at).type if at >= 0 else None
    return kind is not None and pa.types.is_float64(kind)


def _held(text: str) -> bool:
    return not any(digit.isdigit() for digit in text) or same_number(text)


def _doubles(column: Array, kind: pa.DataType) -> Iterator[F64]:
    types = pa.types
    if types.is_float64(column.type) and types.is_float64(kind):
        yield np.frombuffer(parts(column.buffers()[1] or b""), np.float64)[column.offset :][: len(column)]
    elif types.is_list(column.type) and types.is_list(kind):
        yield from _doubles(parts(column).flatten(), parts(kind).value_type)
    elif types.is_struct(column.type) and types.is_struct(kind):
        for field in children(kind):
            at = parts(column.type).get_field_index(field.name)
            if at >= 0:
                yield from _doubles(parts(column).field(at), field.type)


def _suspects(block: bytes, doubles: F64) -> Iterator[int]:
    """Places of numbers that are not the doubles that Arrow has made of them."""
    yield from _long_suspects(block, doubles)
    if (np.abs(doubles) < TINY).any() and (b"e-" in block or b"E-" in block):
        yield from (found.start() for found in _SMALL.finditer(block) if not _held(found.group().decode()))


def _long_suspects(block: bytes, doubles: F64) -> Iterator[int]:
    begins, ends = _long_numbers(np.frombuffer(block, np.uint8))
    if not len(begins):
        return
    text = _cut(block, begins, ends)
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:  # something in quotes that only begins as a number
        numeric = call("match_substring_regex", text, pattern=_NUMBER)
        text, begins = text.filter(numeric), begins[bools(numeric)]
        values = text.cast(pa.float64())
    made = np.frombuffer(parts(values.buffers()[1] or b""), np.float64)[: len(values)]
    finite = doubles[np.isfinite(doubles)]
    if len(finite):  # most numbers of other columns can be left out by their size
        near = np.flatnonzero((made >= finite.min()) & (made <= finite.max()))
        lost = near[~equal_text(text, values, near)]
        lost = lost[np.isin(made[lost], finite)] if len(lost) else lost
        picked = int64_array(lost)
        yield from begins[lost[~kept(text.take(picked), values.take(picked))]].tolist()


def _long_numbers(raw: Raw) -> tuple[I64, I64]:
    """Where numbers of more than `SURE` digits begin, and where they end."""
    none = np.zeros(0, np.int64)
    every = _DIGITS[raw[::STRIDE]]
    both = np.flatnonzero(every[:-1] & every[1:]) * STRIDE
    for step in range(1, STRIDE):
        both = both[_DIGITS[raw[both + step]]]
    if not len(both):
        return none, none
    apart = np.flatnonzero(np.diff(both) > STRIDE)
    begins = both[np.concatenate([[0], apart + 1])]
    ends = both[np.concatenate([apart, [len(both) - 1]])] + STRIDE + 1
    for _ in range(STRIDE):
        begins -= _DIGITS[raw.take(begins - 1, mode="clip")]
        ends += _DIGITS[raw.take(ends, mode="clip")]
    long = ends - begins > SURE
    begins, ends = begins[long], ends[long]
    begins -= raw.take(begins - 1, mode="clip") == ord("-")
    for _ in range(len("e-300")):
        ends += _TAIL[raw.take(ends, mode="clip")]
    number = _BEFORE[raw.take(begins - 1, mode="clip")]
    return begins[number], np.minimum(ends[number], len(raw))


def _cut(block: bytes, begins: I64, ends: I64) -> Array:
    """The texts between these places: every other one of the pieces into which they cut the block."""
    offsets = np.empty(2 * len(begins), np.int32)
    offsets[0::2], offsets[1::2] = begins, ends
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(block)]
    pieces: Array = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
    found: Array = pieces.take(int64_array(np.arange(0, len(offsets), 2)))
    return found
