"""What the store knows of one bucket: its shards, and where their bytes are.

A bucket is a stream of bytes that only grows. Each shard is appended to its end; the shard's *position* is where it
begins. Some parts of the stream are in chains of memory blocks, others in the log, and spilling a part changes no
shard's record. So a shard costs 24 bytes here and no Python object, however many there are.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from shuffle_protocol.shards import NUMBERS, StoredShard
from shuffle_worker.store.arena import Chain
from shuffle_worker.store.store import CorruptBlock

RECORD = struct.Struct("<IIIIQ")
"""One of `RECORDS`: attempt (a number of the store's), sequence, rows, length, checksum."""

RECORDS = np.dtype([("attempt", "<u4"), *NUMBERS])
"""Many of them, as an array."""


class StreamPart(NamedTuple):
    """A part of the stream: in a chain, or in the log from `offset` on where `chain` is None."""

    start: int
    end: int
    offset: int
    chain: Chain | None


class Bucket:
    """records: 24 bytes a shard, in order of arrival. start, end: positions of the stream's first byte and behind its
    last. A bucket that is filled again after a drop starts behind every older position, so an old handle is noticed.

    Each part in the log is three numbers of 8 bytes, not an object: with little memory and many buckets there may be as
    many parts as shards."""

    __slots__ = ("_logged", "chains", "end", "records", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.records = bytearray()
        self.chains: list[Chain] = []
        self._logged = array("q")  # start, length, offset in the log; of every part that is there

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def tail(self) -> Chain | None:
        """The chain that can be appended to, if there is one."""
        if not self.chains:
            return None
        last = self.chains[-1]
        return last if not last.moving and last.start + last.length == self.end else None

    def log(self, start: int, length: int, offset: int) -> None:
        """Note that a part of the stream is in the log."""
        self._logged.extend((start, length, offset))

    def logged(self) -> list[StreamPart]:
        """The parts that are in the log."""
        numbers = self._logged
        return [
            StreamPart(numbers[i], numbers[i] + numbers[i + 1], numbers[i + 2], None) for i in range(0, len(numbers), 3)
        ]

    def in_log(self) -> list[tuple[int, int]]:
        """Where in the log its parts are, and how long they are."""
        return list(zip(self._logged[2::3], self._logged[1::3], strict=True))

    def parts(self) -> list[StreamPart]:
        """Every part of the stream, in order."""
        found = self.logged()
        found += [StreamPart(c.start, c.end, -1, c) for c in self.chains]
        found.sort(key=lambda part: part.start)
        return found


def arranged(
    records: bytes,
    start: int,
    attempts: npt.NDArray[np.uint32],
    named: npt.NDArray[np.uint32],
    *,
    only: bool = False,
) -> list[StoredShard]:
    """The shards of a bucket in (split, sequence) order, without those of the named attempts; only: with those alone.

    attempts: (tranche, split, attempt) by number. If two attempts that count have the same (split, sequence), the order
    of tranche and attempt decides, so the result never depends on timing."""
    table = np.frombuffer(records, dtype=RECORDS)
    positions = np.cumsum(table["length"], dtype=np.int64) - table["length"] + start
    if only or len(named):
        kept = np.flatnonzero(np.isin(table["attempt"], named, invert=not only))
        table, positions = table[kept], positions[kept]
    of = attempts[table["attempt"]]
    order = np.lexsort((of[:, 2], of[:, 0], table["sequence"], of[:, 1]))
    table, positions = table[order], positions[order]
    columns = (of[order, 1], table["sequence"], table["rows"], table["length"], table["checksum"], positions)
    return list(map(StoredShard, *(column.tolist() for column in columns)))


class Stretch(NamedTuple):
    """A stretch of the stream, and where in the reader's buffer it goes."""

    position: int
    at: int
    length: int


def stretches(shards: Sequence[StoredShard]) -> list[Stretch]:
    """Where in the stream the shards lie, in the order of the stream; neighbours are merged.

    The reader's buffer holds the shards in the order in which they are given."""
    at = 0
    wanted: list[tuple[int, int, int]] = []
    for shard in shards:
        if shard.length:
            wanted.append((shard.handle, at, shard.length))
            at += shard.length
    wanted.sort()
    found: list[Stretch] = []
    position = to = length = 0
    for each_position, each_at, each_length in wanted:
        if each_position == position + length and each_at == to + length:
            length += each_length
            continue
        if length:
            found.append(Stretch(position, to, length))
        position, to, length = each_position, each_at, each_length
    if length:
        found.append(Stretch(position, to, length))
    return found


def verify(bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
    """into: the shards' bytes, one behind the other. Raises CorruptBlock."""
    at = 0
    for shard in shards:
        end = at + shard.length
        if xxhash.xxh3_64_intdigest(into[at:end]) != shard.checksum:
            raise CorruptBlock(bucket, shard)
        at = end
