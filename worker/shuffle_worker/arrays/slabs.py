"""Slabs, which travel between workers: a box of elements with its place, as the bytes of a shard.

    payload = kind: u32, dimensions: u32, [start: i64, length: i64] of each dimension     little endian
              kind 0: the elements in C order, as they are in memory; padded to 8 bytes
              kind 1: nothing: the input does not store these elements
              kind 2: bytes of each element: i64, then the bytes one after the other; padded to 8 bytes

One slab is one shard. Lengths are multiples of 8, so that slabs can be used in the buffer that they were read to.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from shuffle_protocol.shards import Shard
from shuffle_worker.arrays.coding import Array, carrier, is_variable
from shuffle_worker.arrays.grid import Box, elements, shape_of

PLAIN, MISSING, VARIABLE = 0, 1, 2

SLAB_BYTES = 4 << 20
"""The most bytes of a slab, or one element if that is larger. Larger boxes are cut, so that buffers of slabs overshoot
by little."""

_HEAD = struct.Struct("<II")


class Slab(NamedTuple):
    """A decoded shard."""

    box: Box
    data: Array | None
    """None if its elements are missing."""


def encode(bucket: int, sequence: int, box: Box, data: Array | None, owned: int | None = None) -> Shard:
    """The shard of a box; it holds a copy. data: the elements in any layout of memory; None: they are missing. owned:
    how many of them count as the bucket's rows; None: all, as where nothing is sent for halos."""
    count = elements(box) if owned is None else owned
    ranges = [number for start, stop in box for number in (start, stop - start)]
    if data is None:
        return _shard(bucket, sequence, count, _header(MISSING, ranges))
    if is_variable(data.dtype):
        return _shard(bucket, sequence, count, _header(VARIABLE, ranges) + _strings(data))
    header = _header(PLAIN, ranges)
    size = data.nbytes
    buffer = pa.allocate_buffer(len(header) + size + -size % 8)
    plain = octets(buffer)
    plain[: len(header)] = np.frombuffer(header, np.uint8)
    plain[len(header) + size :] = 0
    kind = carrier(data.dtype)
    target = plain[len(header) : len(header) + size].view(kind).reshape(data.shape)
    np.copyto(target, data.view(kind))
    return _shard(bucket, sequence, count, memoryview(buffer).cast("B"))


def decode(payload: memoryview, dtype: np.dtype[Any]) -> Slab:
    """The slab of a payload, valid as long as the payload's bytes do not change."""
    kind, ndim = _HEAD.unpack_from(payload)
    ranges = struct.unpack_from(f"<{2 * ndim}q", payload, _HEAD.size)
    box = tuple((ranges[at], ranges[at] + ranges[at + 1]) for at in range(0, 2 * ndim, 2))
    if kind == MISSING:
        return Slab(box, None)
    count, shape = elements(box), shape_of(box)
    body = payload[_HEAD.size + 16 * ndim :]
    if kind == VARIABLE:
        return Slab(box, _from_strings(body, count, dtype).reshape(shape))
    data = np.frombuffer(body[: count * dtype.itemsize], np.uint8)
    return Slab(box, data.view(carrier(dtype)).reshape(shape))


def cut(box: Box, itemsize: int, most: int = SLAB_BYTES) -> list[Box]:
    """The box as boxes of at most `most` bytes, cut along the first dimensions."""
    size = elements(box) * itemsize
    if size <= most:
        return [box]
    for at, (start, stop) in enumerate(box):
        length = stop - start
        if length > 1:
            each = size // length
            step = max(most // max(each, 1), 1)
            out: list[Box] = []
            for first in range(start, stop, step):
                piece = (*box[:at], (first, min(first + step, stop)), *box[at + 1 :])
                out += cut(piece, itemsize, most) if each > most else [piece]
            return out
    return [box]


def octets(buffer: pa.Buffer) -> Array:
    """Arrow's memory as a writable array of bytes."""
    return np.frombuffer(memoryview(buffer), np.uint8)


def _header(kind: int, ranges: list[int]) -> bytes:
    return _HEAD.pack(kind, len(ranges) // 2) + struct.pack(f"<{len(ranges)}q", *ranges)


def _shard(bucket: int, sequence: int, count: int, payload: bytes | memoryview) -> Shard:
    return Shard(bucket, sequence, count, xxhash.xxh3_64_intdigest(payload), [payload], len(payload))


def _strings(data: Array) -> bytes:
    values = [item.encode() if isinstance(item, str) else bytes(item) for item in data.reshape(-1).tolist()]
    lengths = np.fromiter(map(len, values), "<i8", len(values)).tobytes()
    body = b"".join(values)
    return lengths + body + bytes(-len(body) % 8)


def _from_strings(body: memoryview, count: int, dtype: np.dtype[Any]) -> Array:
    lengths = np.frombuffer(body[: 8 * count], "<i8").tolist()
    at = 8 * count
    out = np.empty(count, dtype)
    text = dtype.kind == "T"
    for number, length in enumerate(lengths):
        value = bytes(body[at : at + length])
        out[number] = value.decode() if text else value
        at += length
    return out
