"""Iceberg's hash: the values of its specification, and a plain murmur3 beside the vectorized one."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from shuffle_worker.expressions.functions.hashing import murmur3
from shuffle_worker.expressions.value import compile_value

BERLIN = pa.timestamp("us", "Europe/Berlin")
AT = datetime.datetime(2017, 11, 16, 22, 31, 8, tzinfo=datetime.UTC)
SPECIFIED = [
    (34, pa.int32(), 2017239379),
    (34, pa.int64(), 2017239379),
    (34, pa.uint8(), 2017239379),
    (Decimal("14.20"), pa.decimal128(9, 2), -500754589),
    (Decimal("14.20"), pa.decimal256(50, 2), -500754589),
    (datetime.date(2017, 11, 16), pa.date32(), -653330422),
    (datetime.time(22, 31, 8), pa.time64("us"), -662762989),
    (datetime.time(22, 31, 8), pa.time32("s"), -662762989),
    (AT.replace(tzinfo=None), pa.timestamp("us"), -2047944441),
    (AT.replace(tzinfo=None), pa.timestamp("s"), -2047944441),
    (AT.replace(tzinfo=None), pa.timestamp("ns"), -2047944441),
    (AT.replace(tzinfo=None, microsecond=1), pa.timestamp("us"), -1207196810),
    (AT, BERLIN, -2047944441),
    ("iceberg", pa.string(), 1210000089),
    ("iceberg", pa.large_string(), 1210000089),
    (b"\x00\x01\x02\x03", pa.binary(), -188683207),
    (UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7").bytes, pa.binary(16), 1488055340),
]


@pytest.mark.parametrize(("value", "kind", "wanted"), SPECIFIED, ids=[f"{kind}" for _, kind, _ in SPECIFIED])
def test_a_value_of_the_specification(value: Any, kind: pa.DataType, wanted: int) -> None:
    column = pa.array([None, value, value], kind).slice(1)
    assert murmur3(column).to_pylist() == [wanted, wanted]
    assert murmur3(pa.array([None, value], kind)).to_pylist() == [None, wanted]


def plain(data: bytes) -> int:
    """Murmur3 as its author wrote it, 32 bits, seed 0."""

    def mixed(one: int) -> int:
        one = one * 0xCC9E2D51 & 0xFFFFFFFF
        one = (one << 15 | one >> 17) & 0xFFFFFFFF
        return one * 0x1B873593 & 0xFFFFFFFF

    state = 0
    whole = len(data) // 4 * 4
    for (one,) in struct.iter_unpack("<I", data[:whole]):
        state ^= mixed(one)
        state = (state << 13 | state >> 19) & 0xFFFFFFFF
        state = (state * 5 + 0xE6546B64) & 0xFFFFFFFF
    state ^= mixed(int.from_bytes(data[whole:], "little")) if len(data) > whole else 0
    state ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = (state ^ state >> shift) * factor & 0xFFFFFFFF
    state ^= state >> 16
    return state - (1 << 32) if state >> 31 else state


@given(st.lists(st.none() | st.binary(max_size=40), max_size=12))
def test_bytes_of_every_length(values: list[bytes | None]) -> None:
    found = murmur3(pa.array(values, pa.binary()))
    assert found.to_pylist() == [None if one is None else plain(one) for one in values]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12))
def test_whole_numbers(values: list[int]) -> None:
    found = murmur3(pa.array(values, pa.int64()))
    assert found.to_pylist() == [plain(struct.pack("<q", one)) for one in values]


@given(st.decimals(-(10**20), 10**20, places=3))
def test_decimals(value: Decimal) -> None:
    unscaled = int(value.scaleb(3))
    length = 1
    while not -(1 << 8 * length - 1) <= unscaled < 1 << 8 * length - 1:
        length += 1
    found = murmur3(pa.array([value], pa.decimal128(38, 3)))
    assert found.to_pylist() == [plain(unscaled.to_bytes(length, "big", signed=True))]


def test_a_bucket_and_xxh64() -> None:
    batch = pa.record_batch({"id": pa.array([34, None, -1]), "s": pa.array(["iceberg", "", None])})
    bucket = compile_value("bucket(16, id)", batch.schema, "x").of(batch, "f").to_pylist()
    assert bucket == [(2017239379 & 0x7FFFFFFF) % 16, None, (plain(struct.pack("<q", -1)) & 0x7FFFFFFF) % 16]
    found = compile_value("xxhash64(s)", batch.schema, "x").of(batch, "f").to_pylist()
    assert [one % 2**64 if one is not None else None for one in found] == [
        xxhash.xxh64_intdigest(b"iceberg"),
        xxhash.xxh64_intdigest(b""),
        None,
    ]
