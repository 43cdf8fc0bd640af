"""Scratch of a simulated worker: a disk that may be full, fail or forget bits, a store and a log of kept shards."""

from __future__ import annotations

import errno
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.store.spill import LogRead, SpillLog
from shuffle_worker.store.store import CorruptBlock, StoreStats


@dataclass
class Disk:
    """full: writes fail. broken: reads fail too. rot: the chance that a block is read with a bit of it wrong."""

    random: random.Random
    rot: float = 0.0
    full: bool = False
    broken: bool = False

    def write(self) -> None:
        if self.full or self.broken:
            raise OSError(errno.EIO if self.broken else errno.ENOSPC, "made up", "scratch")

    def read(self, data: bytes) -> bytes:
        if self.broken:
            raise OSError(errno.EIO, "made up", "scratch")
        if data and self.random.random() < self.rot:
            at = self.random.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        return data


class DiskStore:
    """`store.base.Store`, all of it on the disk."""

    verifies = True

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._shards: dict[int, list[tuple[Attempt, StoredShard, bytes]]] = {}
        self._next = 0

    def append(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        if shards:
            self._disk.write()
        for shard in shards:
            data = b"".join(bytes(part) for part in shard.payload)
            stored = StoredShard(attempt.split, shard.sequence, shard.rows, shard.length, shard.checksum, self._next)
            self._next += 1
            self._shards.setdefault(shard.bucket, []).append((attempt, stored, data))

    def shards(self, bucket: int, superseded: Collection[Attempt] = ()) -> list[StoredShard]:
        return sorted(stored for attempt, stored, _ in self._shards.get(bucket, []) if attempt not in superseded)

    def shards_of(self, bucket: int, attempts: Collection[Attempt]) -> list[StoredShard]:
        return sorted(stored for attempt, stored, _ in self._shards.get(bucket, []) if attempt in attempts)

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        if shards and bucket not in self._shards:
            raise LookupError(bucket)
        data = {stored.handle: found for _, stored, found in self._shards.get(bucket, [])}
        at = 0
        for shard in shards:
            found = self._disk.read(data[shard.handle])
            if self.verifies and xxhash.xxh3_64_intdigest(found) != shard.checksum:
                raise CorruptBlock(bucket, shard)
            into[at : at + shard.length] = found
            at += shard.length

    def expect(self, buckets: Collection[int]) -> None:
        pass

    def drop(self, buckets: Collection[int]) -> None:
        for bucket in buckets:
            self._shards.pop(bucket, None)

    def free(self) -> None:
        pass

    def stats(self) -> StoreStats:
        held = sum(stored.length for found in self._shards.values() for _, stored, _ in found)
        return StoreStats(held, 0, 0)

    def close(self) -> None:
        self._shards.clear()


class DiskLog(SpillLog):
    """A `SpillLog` whose file is a dictionary: holes are absent keys."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(Path("scratch"))
        self._disk = disk
        self._bytes: dict[int, int] = {}

    def write(self, offset: int, buffers: Sequence[memoryview], *, pages: bool = False) -> None:
        self._disk.write()
        for i, byte in enumerate(b"".join(buffers)):
            self._bytes[offset + i] = byte

    def read(self, pieces: Sequence[LogRead]) -> None:
        for offset, into in pieces:
            data = bytes(self._bytes.get(offset + i, 0) for i in range(len(into)))
            into[:] = self._disk.read(data)

    def punch(self, offset: int, length: int) -> bool:
        for i in range(offset, offset + length):
            del self._bytes[i]
        return True

    def truncate(self) -> None:
        self._bytes.clear()

    def close(self) -> None:
        self._bytes.clear()
