"""`shuffle-hash/1` against docs/hash.md: its text, spelled out row by row, its test vectors, and its promises."""

from __future__ import annotations

import decimal
import json
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.partitioning.key_columns import COLUMNS, TYPES, build, columns, meanings

from shuffle_worker.columns.type_names import parse_type
from shuffle_worker.partitioning import hash as shuffle_hash
from shuffle_worker.partitioning.hash import can_hash, cells_of, hash_column, hash_rows

M64 = (1 << 64) - 1
M = 0xD6E8FEB86659FD93


def mix(v: int) -> int:
    v = (v + 0x9E3779B97F4A7C15) & M64
    v ^= v >> 33
    v = v * 0xFF51AFD7ED558CCD & M64
    v ^= v >> 33
    v = v * 0xC4CEB9FE1A85EC53 & M64
    return v ^ v >> 33


def of_bytes(data: bytes) -> int:
    if len(data) > 64:
        return mix(xxhash.xxh3_64_intdigest(data))
    h = mix(len(data))
    for at in range(0, len(data), 8):
        h = (h ^ int.from_bytes(data[at : at + 8], "little")) * M & M64
        h ^= h >> 32
    return mix(h)


def of_float(value: float) -> int:
    if math.isnan(value):
        return mix(0x7FF8000000000000)
    if math.isfinite(value) and value == int(value) and -(2**63) <= value < 2**63:
        return mix(int(value) & M64)
    return mix(struct.unpack("<Q", struct.pack("<d", value))[0])


def of_value(value: Any, kind: pa.DataType) -> int:
    if pa.types.is_dictionary(kind):
        return of_value(value, kind.value_type)
    if value is None:
        return 0x9AE16A3B2F90404F
    if pa.types.is_decimal(kind):
        prime = (1 << 61) - 1
        unscaled = int(value.scaleb(kind.scale, decimal.Context(prec=100)))
        return mix(unscaled * pow(10, -kind.scale, prime) % prime)
    if pa.types.is_date64(kind):
        return mix(value // 86_400_000 & M64)
    if pa.types.is_temporal(kind) and not pa.types.is_date(kind):
        return mix(value * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit] & M64)
    if isinstance(value, bytes):
        return of_bytes(value)
    if pa.types.is_floating(kind):
        return of_float(float(value))
    return mix(int(value) & M64)


def combined(hashes: Sequence[int]) -> int:
    h = hashes[0]
    for other in hashes[1:]:
        h = mix((h * M + other) & M64)
    return h


@pytest.mark.parametrize("kind", TYPES, ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_type_hashes_as_documented(kind: pa.DataType, data: st.DataObject) -> None:
    column = data.draw(columns(kind, data.draw(st.integers(0, 30))))
    assert can_hash(kind)
    assert hash_column(column).tolist() == [of_value(value, kind) for value in meanings(column)]


PAGE = Path(__file__).parents[2] / "docs" / "hash.md"


def vectors() -> list[list[list[str]]]:
    """The rows of docs/hash.md's tables of test vectors: for each of its cells, what stands between backticks."""
    lines = PAGE.read_text(encoding="utf-8").partition("## Test vectors")[2].splitlines()
    rows = [[re.findall(r"`([^`]*)`", cell) or [cell.strip()] for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in rows if len(row) > 2 and re.fullmatch("[0-9a-f]{16}", row[2][0])]


def column_of(name: str, text: str) -> pa.Array:
    kind, value = parse_type(name, "docs/hash.md"), json.loads(text)
    if value is not None and pa.types.is_floating(kind):
        value = float(value)
    if value is not None and pa.types.is_decimal(kind):
        value = decimal.Decimal(value)
    if value is not None and (pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind)):
        value = bytes.fromhex(value)
    return build(kind, [value])


@pytest.mark.parametrize("row", vectors(), ids=lambda row: ", ".join(row[0] + row[1])[:60])
def test_published_vectors_never_change(row: list[list[str]]) -> None:
    """Manifests name this hash: a failure here is a broken promise, not a test to adapt."""
    names, texts, (expected,), *rest = row
    drawn = [column_of(name, text) for name, text in zip(names, texts, strict=True)]
    assert f"{hash_rows(drawn)[0]:016x}" == expected
    assert f"{combined([of_value(meanings(column)[0], column.type) for column in drawn]):016x}" == expected
    for (cell,) in rest:
        assert cells_of(drawn, 1000).tolist() == [int(cell)] == [(int(expected, 16) >> 32) * 1000 >> 32]


def test_the_page_has_vectors_of_every_kind_of_type() -> None:
    """So that no rule of the page is without one, and the page's name is the code's."""
    assert shuffle_hash.NAME in PAGE.read_text(encoding="utf-8")
    names = {re.split(r"[\[<(]", name)[0] for row in vectors() for name in row[0]}
    assert names >= {"int64", "uint64", "bool", "double", "timestamp", "duration", "time32", "date32", "date64"}
    assert names >= {"decimal128", "string", "binary", "fixed_size_binary", "dictionary", "null"}
    assert sum(len(row) == 4 for row in vectors()) >= 5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20))
def test_equal_numbers_hash_alike_in_every_number_type(numbers: list[int]) -> None:
    expected = hash_column(pa.array(numbers, pa.int64())).tolist()
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.float32(), pa.float64()):
        assert hash_column(pa.array(numbers, pa.int64()).cast(kind)).tolist() == expected
    natural = [abs(number) for number in numbers]
    expected = hash_column(pa.array(natural, pa.int64())).tolist()
    for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        assert hash_column(pa.array(natural, kind)).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31)), min_size=1, max_size=20))
def test_equal_instants_hash_alike_in_every_unit(seconds: list[int | None]) -> None:
    for make in (pa.timestamp, pa.duration):
        column = pa.array(seconds, pa.int64()).view(make("s"))
        expected = hash_column(column).tolist()
        for unit in ("ms", "us", "ns"):
            assert hash_column(column.cast(make(unit))).tolist() == expected
    zoned = pa.array(seconds, pa.int64()).view(pa.timestamp("s", "Asia/Tokyo"))
    assert hash_column(zoned).tolist() == hash_column(pa.array(seconds, pa.int64()).view(pa.timestamp("s"))).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-50_000, 50_000)), min_size=1, max_size=20))
def test_equal_dates_and_times_hash_alike(days: list[int | None]) -> None:
    column = pa.array(days, pa.int32()).view(pa.date32())
    assert hash_column(column).tolist() == hash_column(column.cast(pa.date64())).tolist()
    clock = pa.array([None if day is None else abs(day) for day in days], pa.int32()).view(pa.time32("s"))
    for kind in (pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        assert hash_column(clock.cast(kind)).tolist() == hash_column(clock).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(COLUMNS[pa.decimal32(7, 2)], min_size=1, max_size=20))
def test_equal_decimals_hash_alike_at_every_scale_and_width(values: list[Any]) -> None:
    column = build(pa.decimal32(7, 2), values)
    expected = hash_column(column).tolist()
    for kind in (pa.decimal64(18, 5), pa.decimal128(38, 2), pa.decimal128(30, 20), pa.decimal256(70, 50)):
        assert hash_column(column.cast(kind)).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(columns(pa.string(), 20))
def test_texts_hash_by_their_bytes_in_every_layout(column: pa.Array) -> None:
    expected = hash_column(column).tolist()
    for kind in (
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
    ):
        assert hash_column(column.cast(kind)).tolist() == expected


def test_zeros_and_nans_are_each_one_key() -> None:
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    zero, minus, integer = hash_column(pa.array([0.0, -0.0])).tolist() + hash_column(pa.array([0])).tolist()
    assert zero == minus == integer
    assert len(set(hash_column(pa.array([math.nan, odd_nan])).tolist())) == 1


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_several_columns_combine_in_order(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 12))
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=2, max_size=3))
    drawn = [data.draw(columns(kind, rows)) for kind in kinds]
    each = zip(*(hash_column(column).tolist() for column in drawn), strict=True)
    assert hash_rows(drawn).tolist() == [combined(hashes) for hashes in each]


@pytest.mark.parametrize("cells", [1, 2, 7, 64, 127, 128, 129, 256, 32_768, 65_536, 100_000])
def test_cells_are_in_range_and_even(cells: int) -> None:
    rows = 40_000
    ids = cells_of([pa.array(range(rows))], cells)
    assert ids.dtype == np.int32
    assert ids.min() >= 0 and ids.max() < cells
    counts = np.bincount(ids, minlength=cells)
    mean = rows / cells
    assert counts.max() <= mean + 6 * math.sqrt(mean) + 6
    if cells <= 256:
        assert counts.min() >= mean - 6 * math.sqrt(mean)


def test_what_cannot_be_a_key() -> None:
    for kind in (pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64())):
        assert not can_hash(kind)
    assert can_hash(pa.dictionary(pa.int8(), pa.string()))
    assert not can_hash(pa.dictionary(pa.int8(), pa.list_(pa.int8())))
