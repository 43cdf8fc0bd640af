"""The files of `method: ObjectStore`: shards go by way of object storage instead of from worker to worker.

A transfer lease writes two files in the job's staging folder, the second one only when the first is whole. A write
lease reads its group's part of every split's files:

    shards/00012-0        payloads, in runs; within a run in bucket order, so that a bucket is one range
    shards/00012-0.index  for every bucket the number of its first entry (u64, buckets + 1 of them),
                          then the entries in (bucket, sequence) order: `ENTRY`

The names carry split and attempt, so attempts never touch each other's files, and the coordinator says which attempt
counts. The files outlive their worker: a lost worker costs its unfinished leases alone, and any worker can write any
group. The price is that every byte goes to the store and back, in (splits x groups) ranged requests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from shuffle_protocol.errors import InputNotFound, Internal
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.runtime.stopwatch import DISK, spending
from shuffle_worker.storage.storage import Range, Sink
from shuffle_worker.store.store import CorruptBlock
from shuffle_worker.transfer.source import StoredShardSource

ENTRY = np.dtype(
    [
        ("bucket", "<u4"),
        ("sequence", "<u4"),
        ("rows", "<u8"),
        ("length", "<u8"),
        ("checksum", "<u8"),
        ("offset", "<u8"),
    ]
)
START = np.dtype("<u8")

FETCH = 8 << 20
"""Bytes of one request; a larger shard is a request of its own."""

GAP = 64 << 10
"""Two ranges with fewer bytes between them are read as one: a request of its own takes longer than these bytes."""

TRIES = 2
"""How often a range is read before its bytes count as corrupt in the store rather than on the way."""

Entries = npt.NDArray[np.void]


class Objects(Protocol):
    """The part of `storage.Storage` that is needed here."""

    def create(self, path: str) -> Sink: ...

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]: ...


class ShardFiles:
    """The shards of one job in its staging folder. Calls come from several threads.

    hold: bytes of shards that a writer gathers before it sorts them by bucket and writes them.
    index: bytes of entries that may be in memory. If there are more, they are read for as many buckets at a time as
    fit."""

    def __init__(self, storage: Objects, folder: str, splits: int, buckets: int, hold: int, index: int) -> None:
        self.storage = storage
        self.splits = splits
        self.buckets = buckets
        self._folder = folder
        self._hold = hold
        self._budget = index
        self._near: Neighbours | None = None

    def writer(self, attempt: Attempt) -> ShardWriter:
        return ShardWriter(self.storage, self.path(attempt.split, attempt.attempt), self.buckets, self._hold)

    def source(self, counted: Collection[Attempt]) -> FileSource:
        """counted: the attempts that count instead of attempt 0, as in a write lease."""
        attempts = [0] * self.splits
        for one in counted:
            attempts[one.split] = one.attempt
        return FileSource(self, attempts)

    def path(self, split: int, attempt: int) -> str:
        return f"{self._folder}/{split:05d}-{attempt}"

    def entries(self, attempts: Sequence[int], bucket: int) -> list[tuple[int, Entries]]:
        """(split, its entries for the bucket) for every split that has any."""
        near = self._near
        if near is None or bucket not in near.buckets or near.attempts != tuple(attempts):
            near = self._near = self._look(attempts, bucket)
        found = ((split, near.of(split, bucket)) for split in range(self.splits))
        return [(split, entries) for split, entries in found if len(entries)]

    def _look(self, attempts: Sequence[int], bucket: int) -> Neighbours:
        """Read the index entries of this bucket, and of as many of its neighbours as fit."""
        at_once = max(1, self._budget // 4 // START.itemsize // max(self.splits, 1))
        near = self._read_near(attempts, bucket - bucket % at_once, at_once)
        return near if bucket in near.buckets else self._read_near(attempts, bucket, at_once)

    def _read_near(self, attempts: Sequence[int], bucket: int, at_once: int) -> Neighbours:
        """From a bucket on, `at_once` buckets or as many as have room for their entries, but at least one."""
        most = min(self.buckets - bucket, at_once)
        names = [self.path(split, attempt) + ".index" for split, attempt in enumerate(attempts)]
        first, last = bucket * START.itemsize, (bucket + most + 1) * START.itemsize
        starts = np.empty((self.splits, most + 1), np.int64)
        for split, data in enumerate(self.fetch(Range(name, first, last) for name in names)):
            if len(data) != last - first:
                raise Internal(f"{names[split]}: is shorter than it was written")
            starts[split] = np.frombuffer(data, START)
        sizes = (starts - starts[:, :1]).sum(axis=0) * ENTRY.itemsize  # of the first n buckets
        fitting = max(1, int(np.searchsorted(sizes, self._budget // 4 * 3, side="right")) - 1)
        head = (self.buckets + 1) * START.itemsize
        ranges = [
            Range(name, head + int(row[0]) * ENTRY.itemsize, head + int(row[fitting]) * ENTRY.itemsize)
            for name, row in zip(names, starts, strict=True)
        ]
        held = [np.frombuffer(data, ENTRY) for data in self.fetch(ranges)]
        return Neighbours(tuple(attempts), range(bucket, bucket + fitting), starts[:, : fitting + 1], held)

    def fetch(self, ranges: Iterator[Range] | Sequence[Range]) -> Iterator[bytes]:
        """The bytes of each range in turn; requests many at a time."""
        portion: list[Range] = []
        size = 0
        for one in ranges:
            if portion and size + one.length > FETCH:
                yield from self._ask(portion)
                portion, size = [], 0
            portion.append(one)
            size += one.length
        if portion:
            yield from self._ask(portion)

    def _ask(self, ranges: Sequence[Range]) -> Iterator[bytes]:
        wanted = [one for one in ranges if one.length]
        try:
            found = iter(self.storage.read_ranges(wanted) if wanted else [])
        except InputNotFound as error:
            raise Internal(f"{error.message}: a finished split's shards are gone; does anything empty it?") from error
        for one in ranges:
            yield next(found) if one.length else b""


class Neighbours(NamedTuple):
    """The index entries of all splits for some neighbouring buckets."""

    attempts: tuple[int, ...]
    buckets: range
    starts: npt.NDArray[np.int64]
    """Splits x (buckets + 1)."""
    entries: list[Entries]

    def of(self, split: int, bucket: int) -> Entries:
        at = bucket - self.buckets.start
        row = self.starts[split]
        return self.entries[split][row[at] - row[0] : row[at + 1] - row[0]]


class ShardWriter:
    """Writes the two files of a transfer lease. Memory: `hold` bytes of shards, and 40 for each shard of the split."""

    def __init__(self, storage: Objects, path: str, buckets: int, hold: int) -> None:
        self.rows = 0
        self.bytes = 0
        self._storage = storage
        self._path = path
        self._buckets = buckets
        self._hold = hold
        self._held: list[Shard] = []
        self._size = 0
        self._entries: list[tuple[int, int, int, int, int, int]] = []
        self._sink: Sink | None = None

    def add(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            self._held.append(shard)
            self._size += shard.length
            if self._size >= self._hold:
                self._run()

    def finish(self) -> None:
        """Returns when everything is in the store."""
        self._run()
        if self._sink is not None:
            self._sink.commit()
        entries = np.array(self._entries, ENTRY)
        entries = entries[np.lexsort((entries["sequence"], entries["bucket"]))]
        starts = np.searchsorted(entries["bucket"], np.arange(self._buckets + 1)).astype(START)
        index = self._storage.create(f"{self._path}.index")
        try:
            index.write(starts.tobytes())
            index.write(entries.tobytes())
            index.commit()
        except BaseException:
            index.abort()
            raise

    def abort(self) -> None:
        """Discard what is not committed. A committed file may stay, because its attempt does not count."""
        if self._sink is not None:
            self._sink.abort()

    def _run(self) -> None:
        if not self._held:
            return
        if self._sink is None:
            self._sink = self._storage.create(self._path)
        for shard in sorted(self._held, key=lambda shard: (shard.bucket, shard.sequence)):
            self._entries.append((shard.bucket, shard.sequence, shard.rows, shard.length, shard.checksum, self.bytes))
            for part in shard.payload:
                self._sink.write(part if isinstance(part, bytes) else memoryview(part))
            self.rows += shard.rows
            self.bytes += shard.length
        self._held = []
        self._size = 0


class FileSource(StoredShardSource):
    """Reads from the files of all splits."""

    def __init__(self, files: ShardFiles, attempts: Sequence[int]) -> None:
        super().__init__()
        self._files = files
        self._attempts = attempts

    def _look(self, bucket: int) -> list[StoredShard]:
        return [
            StoredShard(
                split, int(e["sequence"]), int(e["rows"]), int(e["length"]), int(e["checksum"]), int(e["offset"])
            )
            for split, entries in self._files.entries(self._attempts, bucket)
            for e in entries
        ]

    def _read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        for left in reversed(range(TRIES)):
            with spending(DISK):
                corrupt = self._first_corrupt(shards, into)
            if corrupt is None:
                return
            if not left:
                raise CorruptBlock(bucket, corrupt)

    def _first_corrupt(self, shards: Sequence[StoredShard], into: memoryview) -> StoredShard | None:
        """Read the shards. Returns the first one that does not match its checksum."""
        runs = list(_runs(shards))
        ranges = [
            Range(
                self._files.path(run[0].split, self._attempts[run[0].split]),
                run[0].handle,
                run[-1].handle + run[-1].length,
            )
            for run in runs
        ]
        at = 0
        for run, found in zip(runs, self._files.fetch(ranges), strict=True):
            self._unless_revoked()
            data = memoryview(found)
            for shard in run:
                start = shard.handle - run[0].handle
                payload = data[start : start + shard.length]
                if len(payload) != shard.length or xxhash.xxh3_64_intdigest(payload) != shard.checksum:
                    return shard
                into[at : at + shard.length] = payload
                at += shard.length
        return None


def _runs(shards: Sequence[StoredShard]) -> Iterator[list[StoredShard]]:
    """Runs of neighbours in one file, of up to `FETCH` bytes each."""
    run: list[StoredShard] = []
    for shard in shards:
        if run:
            last = run[-1]
            gap = shard.handle - (last.handle + last.length)
            reach = shard.handle + shard.length - run[0].handle
            if shard.split != last.split or not 0 <= gap <= GAP or reach > FETCH:
                yield run
                run = []
        run.append(shard)
    if run:
        yield run
