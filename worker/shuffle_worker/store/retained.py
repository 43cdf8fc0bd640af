"""Retained shards (`recovery.retainShards`): copies of what a worker sent, so that a repair need not read the input.

    transfer lease    begin(split, groups) -> keep(shards) ... -> finish        every shard for another worker's groups
    repair            covering(split, groups) -> read(record, groups)           sends them again
    groups written    drop(groups)                                              frees their bytes on disk

A record holds what one transfer lease sent, and serves any set of groups that it covers. The bytes lie in one log on
scratch, unlinked at once like the store's log. A job can do without them: if there is no room, the disk fails or a
checksum does not match, the split is read again. So when the disk is full, retained shards go first (`clear`), before
the store reports it.

Bounded: on disk by `limit`; in memory 32 bytes a shard, and what `bounce.py` copies through. The event loop and store
threads call it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
import xxhash

from shuffle_protocol.shards import NUMBERS, Shard, StoredShard
from shuffle_worker.store.bounce import Bounce
from shuffle_worker.store.spill import LogRead, SpillLog
from shuffle_worker.store.store import CorruptBlock

RECORDS = np.dtype([("bucket", "<u4"), *NUMBERS, ("offset", "<u8")])


class Entry(NamedTuple):
    """One shard in the log."""

    bucket: int
    sequence: int
    rows: int
    length: int
    checksum: int
    offset: int


READ_AT_ONCE = 4 << 20
"""Bytes of shards that one read fetches."""

TOGETHER = 0.25
"""Of the groups. A hole in the log costs as much as many bytes, and groups are written in their order, so the shards of
several lie beside each other."""


GroupOf = Callable[[int], int]
"""Which group a bucket is in."""


class Record:
    """What one transfer lease sent of a split, for `groups`; the sender's own groups are not among them."""

    def __init__(self, split: int, groups: frozenset[int], generation: int) -> None:
        self.split = split
        self.groups = groups
        self.generation = generation
        self.rows = 0
        self.index: list[np.ndarray[tuple[int], np.dtype[np.void]]] = []
        self.whole = True  # nothing had to be left out

    @property
    def bytes(self) -> int:
        return sum(int(part["length"].sum(dtype=np.int64)) for part in self.index)


class RetainedShards:
    """limit: bytes on scratch at the most."""

    def __init__(self, log: SpillLog, limit: int, group_of: GroupOf) -> None:
        self._log = log
        self._bounce = Bounce(log)
        self._limit = limit
        self._group_of = group_of
        self._records: dict[int, Record] = {}
        self._used = 0
        self._dropped: set[int] = set()
        self._pending: set[int] = set()  # those of them whose shards are still in the log
        self._generation = 0  # rises when everything is thrown away
        self._closed = False
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Bytes on scratch."""
        return self._used

    def begin(self, split: int, groups: Collection[int]) -> Record:
        return Record(split, frozenset(groups), self._generation)

    def keep(self, record: Record, shards: Sequence[Shard]) -> None:
        """Append the shards to the log. Blocks. If that fails the record is no longer whole; that is no error."""
        if not record.whole or not shards:
            return
        length = sum(shard.length for shard in shards)
        with self._lock:
            if self._closed or record.generation != self._generation or self._used + length > self._limit:
                record.whole = False
                return
            offset = self._log.reserve(length, pages=True)
            self._used += length
        try:
            self._bounce.write(offset, [memoryview(part).cast("B") for s in shards for part in s.payload if len(part)])
        except OSError:
            record.whole = False
            self.clear()
            return
        at = np.cumsum([0, *(shard.length for shard in shards)])[:-1] + offset
        entries = [(s.bucket, s.sequence, s.rows, s.length, s.checksum, o) for s, o in zip(shards, at, strict=True)]
        with self._lock:
            if record.generation == self._generation:
                record.index.append(np.array(entries, RECORDS))
            else:
                record.whole = False

    def finish(self, record: Record, rows: int) -> bool:
        """The lease has sent everything. rows: read from the split. Returns whether the split can be sent again."""
        with self._lock:
            before = self._records.get(record.split)
            record.whole = record.whole and record.generation == self._generation
            if not record.whole or self._closed or (before is not None and before.groups >= record.groups):
                keeps = record.whole and before is not None
                self._forget(record)
                return keeps
            if before is not None:  # another lease sent the split for other groups, perhaps at the same time
                self._shed(before, record.groups)
                record.groups |= before.groups
                record.index += [part for part in before.index if len(part)]
            record.rows = rows
            self._shed(record, self._dropped)
            self._records[record.split] = record
            return True

    def cancel(self, record: Record) -> None:
        """The lease failed or was taken away."""
        with self._lock:
            record.whole = False
            self._forget(record)

    def splits(self) -> list[int]:
        with self._lock:
            return sorted(self._records)

    def covering(self, split: int, groups: Collection[int]) -> Record | None:
        """The record of a split, if it has every shard that these groups need.

        It may be dropped while it is read. Then its bytes are gone, and their checksums do not match."""
        with self._lock:
            record = self._records.get(split)
            if record is None or not record.groups.issuperset(groups) or not self._dropped.isdisjoint(groups):
                return None
            found = Record(split, record.groups, record.generation)
            found.rows, found.index = record.rows, list(record.index)
            return found

    def read(self, record: Record, groups: Collection[int]) -> Iterator[list[Shard]]:
        """The shards for these groups, a few MiB at a time, verified. Raises CorruptBlock or OSError."""
        wanted = set(groups)
        for part in list(record.index):
            chosen: list[Entry] = []
            size = 0
            for entry in map(Entry._make, part.tolist()):
                if self._group_of(entry.bucket) in wanted:
                    chosen.append(entry)
                    size += entry.length
                    if size >= READ_AT_ONCE:
                        yield self._fetch(record, chosen)
                        chosen, size = [], 0
            if chosen:
                yield self._fetch(record, chosen)

    def _fetch(self, record: Record, entries: Sequence[Entry]) -> list[Shard]:
        view = memoryview(bytearray(sum(entry.length for entry in entries)))
        pieces: list[LogRead] = []
        shards: list[Shard] = []
        at = 0
        for bucket, sequence, rows, length, checksum, offset in entries:
            payload = view[at : at + length]
            if length:
                pieces.append(LogRead(offset, payload))
            shards.append(Shard(bucket, sequence, rows, checksum, [payload], length))
            at += length
        self._log.read(pieces)
        for shard in shards:
            if xxhash.xxh3_64_intdigest(shard.payload[0]) != shard.checksum:
                stored = StoredShard(record.split, shard.sequence, shard.rows, shard.length, shard.checksum, 0)
                raise CorruptBlock(shard.bucket, stored)
        return shards

    def discard(self, split: int) -> None:
        """Drop the record of a split, which is damaged."""
        with self._lock:
            record = self._records.pop(split, None)
            if record is not None:
                self._forget(record)

    def drop(self, groups: Collection[int]) -> None:
        """Drop the shards of groups that are written: at once for readers, their bytes once there are `TOGETHER` of
        them. Blocks."""
        new = set(groups) - self._dropped
        if not new:
            return
        with self._lock:
            self._dropped |= new
            self._pending |= new
            most = max((len(record.groups) for record in self._records.values()), default=0)
            if len(self._pending) < most * TOGETHER:
                return
            for record in self._records.values():
                self._shed(record, self._pending)
            self._pending.clear()

    def clear(self) -> int:
        """Drop everything at once, including what is being kept just now. Returns the bytes that this frees."""
        with self._lock:
            freed = self._used
            self._generation += 1
            self._records.clear()
            self._used = 0
            with contextlib.suppress(OSError):
                self._log.truncate()
        return freed

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._records.clear()
            self._log.close()

    def _shed(self, record: Record, groups: Collection[int]) -> None:
        """Drop what a record has for these groups."""
        if not groups:
            return
        for i, part in enumerate(record.index):
            buckets, which = np.unique(part["bucket"], return_inverse=True)
            gone = np.fromiter((self._group_of(bucket) in groups for bucket in buckets.tolist()), bool, len(buckets))
            gone = gone[which]
            if gone.any():
                self._give_back(part[gone])
                record.index[i] = part[~gone]

    def _forget(self, record: Record) -> None:
        for part in record.index:
            if record.generation == self._generation:
                self._give_back(part)
        record.index.clear()

    def _give_back(self, entries: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        """Free stretches of the log, neighbours together."""
        start = end = -1
        for offset, length in zip(entries["offset"].tolist(), entries["length"].tolist(), strict=True):
            self._used -= length
            if offset != end:
                if end > start:
                    self._log.punch(start, end - start)
                start = offset
            end = offset + length
        if end > start:
            self._log.punch(start, end - start)
