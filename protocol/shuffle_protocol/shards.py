"""A shard: rows of one split for one bucket, as bytes that only the operation understands.

The operation makes it and puts a checksum on it; a frame takes it to a peer (`frames.py`), the store keeps it, the
operation's other half reads it back. All of them see the same few numbers.
"""

from __future__ import annotations

from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

NUMBERS = [("sequence", "<u4"), ("rows", "<u4"), ("length", "<u4"), ("checksum", "<u8")]
"""A shard as a numpy record, but for where it belongs: a frame's index has these behind the bucket (`frames.INDEX`),
the store behind the attempt that brought the shard. length: bytes; checksum: xxh3-64."""


class Shard(NamedTuple):
    """Rows of one split for one bucket."""

    bucket: int
    sequence: int
    """Rises with every shard that a split emits for any bucket, in input order; (split, sequence) orders the shards of
    a bucket, and does not depend on timing."""
    rows: int
    checksum: int
    """xxh3-64 of the payload (its buffers one after the other)."""
    payload: list[Buffer]
    length: int


class StoredShard(NamedTuple):
    """A shard that the store holds. `handle` is the store's own."""

    split: int
    sequence: int
    rows: int
    length: int
    checksum: int
    handle: int
