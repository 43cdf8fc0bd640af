"""Hashes: MD5, SHA-256, XXH64, and the murmur3 of Apache Iceberg's bucket transform.

Iceberg (iceberg.apache.org/spec, appendix B) hashes whole numbers, dates, times and timestamps as eight bytes, times in
microseconds; decimals as the shortest big-endian two's complement of their unscaled value; text as UTF-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from shuffle_worker.columns.arrays import rows_of_bytes, word
from shuffle_worker.columns.arrow import NANOS, Array
from shuffle_worker.expressions.functions.registry import BYTES, Kind, Section, number_constant
from shuffle_worker.expressions.typed.clock import numbers_of, rebuilt, unit_of
from shuffle_worker.expressions.typed.rows import each

HASHING = Section("Hashes")
define = HASHING.define

U32 = npt.NDArray[np.uint32]


def _hashable(kind: pa.DataType) -> bool:
    types = pa.types
    whole = types.is_integer(kind) and kind != pa.uint64()
    times = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return whole or times or types.is_decimal(kind) or BYTES.accepts(kind)


HASHABLE = Kind("whole number, decimal, date, time, timestamp, text or bytes", _hashable, pa.string(), "x")


def _digest(function: Callable[[bytes], str]) -> Callable[[Array], Array]:
    def kernel(column: Array) -> Array:
        return each(pa.string(), lambda one: function(_bytes(one)), column)

    return kernel


def _bytes(one: str | bytes) -> bytes:
    return one.encode() if isinstance(one, str) else one


def _xxhash64(column: Array) -> Array:
    def signed(one: str | bytes) -> int:
        found = xxhash.xxh64_intdigest(_bytes(one))
        return found - (1 << 64) if found >> 63 else found

    return each(pa.int64(), signed, column)


def murmur3(column: Array) -> Array:
    kind = column.type
    if pa.types.is_decimal(kind):
        return each(pa.int32(), _of_decimal, column)
    hashes = _of_bytes(column) if BYTES.accepts(kind) else _of_longs(_longs(column))
    return rebuilt(hashes.view(np.int32).astype(np.int64), column, pa.int32())


def _longs(column: Array) -> npt.NDArray[np.uint64]:
    kind = column.type
    if pa.types.is_integer(kind):
        return numbers_of(column.cast(pa.int64())).view(np.uint64)
    if pa.types.is_date(kind):
        return numbers_of(column.cast(pa.date32())).view(np.uint64)
    size = NANOS[unit_of(kind)]
    numbers = numbers_of(column)
    if size < NANOS["us"]:
        return (numbers // (NANOS["us"] // size)).view(np.uint64)
    times = size // NANOS["us"]
    if (np.abs(numbers) > np.iinfo(np.int64).max // times).any():
        raise pa.ArrowInvalid("a time in microseconds does not fit in 64 bits")
    return (numbers * times).view(np.uint64)


def _of_longs(longs: npt.NDArray[np.uint64]) -> U32:
    words = (longs & np.uint64(0xFFFFFFFF)).astype(np.uint32), (longs >> np.uint64(32)).astype(np.uint32)
    state = np.zeros(len(longs), np.uint32)
    for one in words:
        state = _round(state, one)
    return _finished(state, np.full(len(longs), 8, np.uint32))


def _of_bytes(column: Array) -> U32:
    """Eight bytes of every row at once, of those rows that have as many."""
    rows = rows_of_bytes(column)
    state = np.zeros(len(column), np.uint32)
    order = np.argsort(-rows.lengths, kind="stable")
    lengths = rows.lengths[order]
    at = 0
    while True:
        many = int(np.searchsorted(-lengths, -at, side="left"))  # those longer than `at`
        if not many:
            return _finished(state, rows.lengths.astype(np.uint32))
        chosen = order[:many]
        eight = word(rows, at, chosen)
        for half in (0, 4):
            left = rows.lengths[chosen] - at - half
            four = (eight >> np.uint64(8 * half)).astype(np.uint64) & np.uint64(0xFFFFFFFF)
            one = four.astype(np.uint32)
            whole = left >= 4
            state[chosen[whole]] = _round(state[chosen[whole]], one[whole])
            tail = (left > 0) & ~whole
            state[chosen[tail]] ^= _mixed(one[tail])
        at += 8


def _mixed(one: U32) -> U32:
    one = one * np.uint32(0xCC9E2D51)
    one = (one << np.uint32(15)) | (one >> np.uint32(17))
    return one * np.uint32(0x1B873593)


def _round(state: U32, one: U32) -> U32:
    state = state ^ _mixed(one)
    state = (state << np.uint32(13)) | (state >> np.uint32(19))
    return state * np.uint32(5) + np.uint32(0xE6546B64)


def _finished(state: U32, lengths: U32) -> U32:
    state = state ^ lengths
    state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return state ^ (state >> np.uint32(16))


def _of_decimal(value: Decimal) -> int:
    sign, digits, _ = value.as_tuple()
    unscaled = int("".join(map(str, digits)) or "0") * (-1 if sign else 1)
    length = max((unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1, 1)
    data = pa.py_buffer(unscaled.to_bytes(length, "big", signed=True))
    one: Array = pa.Array.from_buffers(pa.binary(length), 1, [None, data])
    return int(_of_bytes(one).view(np.int32)[0])


def _bucket(count: int, column: Array) -> Array:
    hashes = numbers_of(murmur3(column))
    return rebuilt((hashes & 0x7FFFFFFF) % count, column, pa.int32())


define(
    "md5",
    [BYTES],
    pa.string(),
    _digest(lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest()),
    "MD5, as 32 hexadecimal digits.",
)
define(
    "sha256",
    [BYTES],
    pa.string(),
    _digest(lambda data: hashlib.sha256(data).hexdigest()),
    "SHA-256, as 64 hexadecimal digits.",
)
define("xxhash64", [BYTES], pa.int64(), _xxhash64, "XXH64 with seed 0, as a whole number with a sign.")
define("murmur3", [HASHABLE], pa.int32(), murmur3, "The hash of Iceberg's bucket transform.")
define(
    "bucket",
    [number_constant("buckets", 1, 2**31 - 1), HASHABLE],
    pa.int32(),
    _bucket,
    "The bucket, from 0, that Iceberg's transform `bucket[buckets]` puts it in.",
)
