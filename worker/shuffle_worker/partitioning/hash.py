"""`shuffle-hash/1`: a 64-bit hash of what a key means, and from it the cell of a row.

docs/hash.md specifies it, with test vectors. It never changes: manifests name it (`NAME`), and a later job or another
program relies on it to find a key's partition. Another hash gets another name.

Steps call `cells_of`. Columns are hashed whole, with NumPy, in blocks that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from shuffle_worker.columns.arrays import U64, Array, Bytes, bits, plain, rows_of_bytes, valid, values, view, word
from shuffle_worker.columns.arrow import NANOS, parts
from shuffle_worker.columns.kinds import compares_as_stored, is_extension

NAME = "shuffle-hash/1"
NULL = 0x9AE16A3B2F90404F
GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIER = 0xD6E8FEB86659FD93
NAN_BITS = 0x7FF8000000000000
PRIME = (1 << 61) - 1
SHORT = 64
"""Bytes of a value up to which it is hashed by words, all rows at once. Longer values are hashed one by one."""

_BLOCK = 8192
"""Rows hashed at once: arrays of 64 KiB stay in the cache, and below the size that the C library maps afresh."""


def can_hash(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a hash key."""
    if is_extension(kind):
        return compares_as_stored(kind) and can_hash(parts(kind).storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return can_hash(kind.value_type)
    return (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind))
        or is_bytes(kind)
        or pa.types.is_null(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Text or bytes, of any layout."""
    t = pa.types
    return (
        t.is_string(kind)
        or t.is_large_string(kind)
        or t.is_string_view(kind)
        or t.is_binary(kind)
        or t.is_large_binary(kind)
        or t.is_binary_view(kind)
        or (t.is_fixed_size_binary(kind) and not t.is_decimal(kind))
    )


def cells_of(columns: Sequence[Array], cells: int) -> npt.NDArray[np.int32]:
    """The cell of every row, 0 .. cells-1, from its key columns. A multiplication is quicker than a division."""
    out = np.empty(len(columns[0]), np.int32)
    for start, hashes in _blocks(columns):
        hashes >>= np.uint64(32)
        hashes *= np.uint64(cells)
        hashes >>= np.uint64(32)
        out[start : start + _BLOCK] = hashes
    return out


def hash_rows(columns: Sequence[Array]) -> U64:
    """The hash of every row over its key columns, in their order."""
    out = np.empty(len(columns[0]), np.uint64)
    for start, hashes in _blocks(columns):
        out[start : start + _BLOCK] = hashes
    return out


def hash_column(array: Array) -> U64:
    """The hash of every value of a column."""
    return hash_rows([array])


def _blocks(columns: Sequence[Array]) -> Iterator[tuple[int, U64]]:
    """The hashes of the rows, block by block, with the block's first row."""
    prepared = [_prepared(column) for column in columns]
    for start in range(0, len(columns[0]), _BLOCK):
        hashes = prepared[0](start)
        for column in prepared[1:]:
            hashes *= np.uint64(MULTIPLIER)
            hashes += column(start)
            mix(hashes)
        yield start, hashes


def _prepared(array: Array) -> Callable[[int], U64]:
    """A function that hashes the block of rows that begins at a given row."""
    kind = array.type
    if is_extension(kind):
        return _prepared(array.storage)  # type: ignore[attr-defined]
    if pa.types.is_dictionary(kind) and len(array.dictionary) < len(array):  # type: ignore[attr-defined]
        return _prepared_dictionary(array)
    column = plain(array)
    return lambda start: _hash_block(column.slice(start, _BLOCK))


def _prepared_dictionary(array: Array) -> Callable[[int], U64]:
    """Hash the dictionary once and look each row up."""
    dictionary = array.dictionary  # type: ignore[attr-defined]
    codes = array.indices  # type: ignore[attr-defined]
    table = np.append(hash_column(dictionary), np.uint64(NULL))
    kind = codes.type
    places = values(codes, f"{'i' if pa.types.is_signed_integer(kind) else 'u'}{kind.bit_width // 8}").astype(np.int64)
    present = valid(codes)
    if present is not None:
        places[~present] = len(dictionary)
    return lambda start: table[places[start : start + _BLOCK]]


def _hash_block(array: Array) -> U64:
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), NULL, np.uint64)
    if is_bytes(kind):
        hashes = _hash_bytes(rows_of_bytes(array))
    elif pa.types.is_decimal(kind):
        hashes = mix(_decimal_residues(array))
    elif pa.types.is_floating(kind):
        hashes = mix(_float_words(array))
    else:
        hashes = mix(_integer_words(array))
    present = valid(array)
    if present is not None:
        hashes[~present] = NULL
    return hashes


def mix(words: U64) -> U64:
    """Mix every word in place, as docs/hash.md says."""
    high = np.empty_like(words)
    words += np.uint64(GOLDEN)
    np.right_shift(words, np.uint64(33), out=high)
    words ^= high
    words *= np.uint64(0xFF51AFD7ED558CCD)
    np.right_shift(words, np.uint64(33), out=high)
    words ^= high
    words *= np.uint64(0xC4CEB9FE1A85EC53)
    np.right_shift(words, np.uint64(33), out=high)
    words ^= high
    return words


def _integer_words(array: Array) -> U64:
    """Copy integers, booleans and temporal values to 64-bit words."""
    kind = array.type
    t = pa.types
    if t.is_boolean(kind):
        return bits(array.buffers()[1], array.offset, len(array)).astype(np.uint64)
    if t.is_integer(kind):
        dtype = f"{'i' if t.is_signed_integer(kind) else 'u'}{kind.bit_width // 8}"
        return values(array, dtype).astype(np.int64 if dtype[0] == "i" else np.uint64).view(np.uint64)
    if t.is_date32(kind):
        return values(array, np.int32).astype(np.int64).view(np.uint64)
    if t.is_date64(kind):
        days: npt.NDArray[np.int64] = values(array, np.int64) // np.int64(86_400_000)
        return days.view(np.uint64)
    width = np.int32 if t.is_time32(kind) else np.int64
    words: U64 = values(array, width).astype(np.int64).view(np.uint64)
    factor = NANOS[kind.unit]
    if factor != 1:
        words *= np.uint64(factor)
    return words


def _float_words(array: Array) -> U64:
    floats = values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
    with np.errstate(invalid="ignore"):
        whole = floats.astype(np.int64)
        integral = (floats >= -(2.0**63)) & (floats < 2.0**63) & (whole == floats)
    words = floats.view(np.uint64)
    nan = floats != floats
    np.copyto(words, whole.view(np.uint64), where=integral)
    np.copyto(words, np.uint64(NAN_BITS), where=nan)
    return words


def _hash_bytes(rows: Bytes) -> U64:
    hashes = mix(rows.lengths.astype(np.uint64))
    shortest, longest = int(rows.lengths.min()), int(rows.lengths.max())
    for at in range(0, min(longest, SHORT), 8):
        if at < shortest:
            hashes ^= word(rows, at)
            hashes *= np.uint64(MULTIPLIER)
            hashes ^= hashes >> np.uint64(32)
        else:
            active = np.flatnonzero(rows.lengths > at)
            part = hashes[active] ^ word(rows, at, active)
            part *= np.uint64(MULTIPLIER)
            part ^= part >> np.uint64(32)
            hashes[active] = part
    if longest > SHORT:
        data = memoryview(rows.data)  # type: ignore[arg-type]
        for i in np.flatnonzero(rows.lengths > SHORT).tolist():
            start = int(rows.starts[i])
            hashes[i] = xxhash.xxh3_64_intdigest(data[start : start + int(rows.lengths[i])])
    return mix(hashes)


def _decimal_residues(array: Array) -> U64:
    """unscaled * 10**-scale modulo the prime, from the value's 64-bit limbs, least significant first."""
    kind = array.type
    width = kind.bit_width // 64
    if width == 0:
        top = values(array, np.int32).astype(np.int64)
        limbs: list[U64] = []
    else:
        flat = view(array.buffers()[1], np.uint64, len(array) * width, array.offset * width)
        table = flat.reshape(len(array), width)
        top = table[:, width - 1].view(np.int64)
        limbs = [table[:, i] for i in range(width - 2, -1, -1)]
    residue: U64 = np.mod(top, np.int64(PRIME)).view(np.uint64)
    for limb in limbs:  # * 2**64 = * 8 modulo the prime
        residue = _reduce(_reduce(residue * np.uint64(8)) + _reduce(limb))
    scale = kind.scale
    if scale:
        residue = _times(residue, pow(10, -scale, PRIME))
    return residue


def _reduce(x: U64) -> U64:
    folded = (x & np.uint64(PRIME)) + (x >> np.uint64(61))
    return np.where(folded >= np.uint64(PRIME), folded - np.uint64(PRIME), folded)


def _times(x: U64, factor: int) -> U64:
    """x * factor modulo 2**61 - 1, by 32-bit halves, so that no product exceeds 64 bits."""
    low, high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    x_low, x_high = x & np.uint64(0xFFFFFFFF), x >> np.uint64(32)
    middle = x_high * low + x_low * high
    total = x_high * high * np.uint64(8)
    total += (middle >> np.uint64(29)) + ((middle & np.uint64((1 << 29) - 1)) << np.uint64(32))
    total += _reduce(x_low * low)
    return _reduce(total)
