"""Random key columns of every type that can be hashed and ordered, and what their values mean in plain Python."""

from __future__ import annotations

import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from shuffle_worker.columns.schema import to_transport

_TEXT = st.one_of(
    st.sampled_from(
        ["", "a", "a\x00", "a\x00\x00", "ab", "b", "abcdefgh", "abcdefgh\x00", "abcdefghi", "ä", "\U0001f600"]
    ),
    st.text(max_size=20),
    st.builds(lambda n, end: "https://example.org/" * n + end, st.integers(0, 5), st.text("ab\x00", max_size=3)),
)
_FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, math.inf, -math.inf, math.nan, 2.0**63, -(2.0**63), 2.0**64, 1e300]),
    st.floats(width=16),
)
_DOUBLES = st.one_of(_FLOATS, st.floats())


def _ints(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return st.one_of(st.integers(max(low, -3), 3), st.sampled_from([low, high]), st.integers(low, high))


def _decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    most = 10**precision - 1
    unscaled = st.one_of(st.integers(-3, 3), st.sampled_from([most, -most]), st.integers(-most, most))
    return unscaled.map(lambda v: decimal.Decimal(v).scaleb(-scale, decimal.Context(prec=100)))


COLUMNS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    **{getattr(pa, f"int{bits}")(): _ints(bits) for bits in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{bits}")(): _ints(bits, signed=False) for bits in (8, 16, 32, 64)},
    pa.bool_(): st.booleans(),
    pa.float16(): _FLOATS.map(lambda v: np.float16(v) if abs(v) < 60000 or not math.isfinite(v) else np.float16(7)),
    pa.float32(): _FLOATS,
    pa.float64(): _DOUBLES,
    pa.date32(): _ints(32),
    pa.date64(): st.integers(-100_000, 100_000).map(lambda days: days * 86_400_000),
    pa.time32("s"): st.integers(0, 86_399),
    pa.time32("ms"): st.integers(0, 86_399_999),
    pa.time64("us"): st.integers(0, 86_399_999_999),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    **{pa.timestamp(unit): _ints(64) for unit in ("s", "ms", "us", "ns")},
    pa.timestamp("us", "Europe/Berlin"): _ints(40),
    **{pa.duration(unit): _ints(64) for unit in ("s", "ms", "us", "ns")},
    pa.decimal32(7, 2): _decimals(7, 2),
    pa.decimal64(15, 3): _decimals(15, 3),
    pa.decimal128(38, 10): _decimals(38, 10),
    pa.decimal128(20, -2): _decimals(20, -2),
    pa.decimal256(76, 20): _decimals(76, 20),
    pa.string(): _TEXT,
    pa.large_string(): _TEXT,
    pa.string_view(): _TEXT,
    pa.binary(): _TEXT.map(str.encode),
    pa.large_binary(): _TEXT.map(str.encode),
    pa.binary_view(): _TEXT.map(str.encode),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.binary(20): st.sampled_from([b"x" * 20, b"x" * 19 + b"y", b"\x00" * 20, bytes(range(20))]),
    pa.binary(70): st.sampled_from([b"x" * 70, b"x" * 69 + b"y", b"\x00" * 70, bytes(range(70))]),
    pa.dictionary(pa.int8(), pa.string()): _TEXT,
    pa.dictionary(pa.uint32(), pa.int64()): _ints(64),
    pa.null(): st.none(),
}
TYPES = list(COLUMNS)


def build(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """Values as a column; temporal ones are given as the numbers behind them."""
    if pa.types.is_dictionary(kind):
        return build(kind.value_type, values).dictionary_encode().cast(kind)
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array(values, kind)


@st.composite
def columns(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    """A column with nulls and many equal values; a slice of a longer one, so that offsets are not zero."""
    pool = draw(st.lists(st.one_of(st.none(), COLUMNS[kind]), min_size=1, max_size=8))
    skip = draw(st.integers(0, 9))
    picks = draw(st.lists(st.integers(0, len(pool) - 1), min_size=rows + skip, max_size=rows + skip))
    return build(kind, [pool[i] for i in picks]).slice(skip)


@st.composite
def plain_columns(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    """As they travel: Arrow cannot `take` from views."""
    return to_transport(draw(columns(kind, rows)))


def meanings(array: pa.Array) -> list[Any]:
    """Values that Python compares and hashes by meaning: numbers behind temporal types, bytes of texts."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return meanings(array.dictionary_decode())
    if pa.types.is_temporal(kind):
        return array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
    return [value.encode() if isinstance(value, str) else value for value in array.to_pylist()]
