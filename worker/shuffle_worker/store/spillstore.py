"""The store: shards in memory while they fit, the largest buckets on scratch when they do not.

`append` copies shards into the arena. If there is no room it first spills the largest buckets, several at once, so that
a write to the log is megabytes long even when each bucket has little. The inbox (append), write leases (shards, read)
and the agent (drop, stats) call it, from several threads at once.

It holds the lock while it copies into memory and changes records, never while the disk works:

    spill   under the lock: pick chains, mark them moving, pin them, reserve a place in the log
            outside:        write them
            under the lock: note where they are, unpin; the last reader or writer of a block frees it
    read    under the lock: look up where the bytes are, pin the chains
            outside:        copy, fetch, verify
            under the lock: unpin
    drop    under the lock: forget the bucket, free its blocks; note which parts of the log it had
    free    outside:        free these

A moving chain stays readable in memory, and stays there if its write fails. So an append that finds room cannot fail
any more, and one that fails has taken nothing.

Bounded: the arena by the budget. Bookkeeping takes 27 bytes a shard, 27 for each spilled part of a bucket, about 500 a
bucket and about 200 a transfer attempt.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.runtime.direct import PAGE, pages_of
from shuffle_worker.store.arena import Arena, Chain, block_size
from shuffle_worker.store.bucket import RECORD, Bucket, Stretch, arranged, stretches, verify
from shuffle_worker.store.spill import LogRead, SpillLog
from shuffle_worker.store.store import CorruptBlock, StoreStats

SPILL_AT_ONCE = 8 << 20
"""The most bytes that one round of spilling moves; in a small budget, an eighth of it. Writes are few and long, and the
appends that follow find room."""


LEAST_PAGED = 16 << 10
"""From blocks of this size on, chains are written as whole pages. Of smaller ones the rest of the last page would be
too much of it."""


class _Move(NamedTuple):
    """A chain on its way to the log."""

    number: int
    bucket: Bucket
    chain: Chain

    @property
    def length(self) -> int:
        """Nothing is appended to a chain that moves."""
        return self.chain.length


class SpillStore:
    """A store of `budget` bytes in memory and the rest in `scratch` (an existing folder).

    buckets_hint: how many buckets there may be, from which the size of blocks follows. block: that size, set by hand.
    """

    def __init__(
        self, budget: int, scratch: Path, buckets_hint: int, *, block: int | None = None, log: SpillLog | None = None
    ) -> None:
        self._arena = Arena(budget, block or block_size(budget, buckets_hint))
        self._log = log or SpillLog(scratch)
        self._paged = self._arena.block >= LEAST_PAGED and self._arena.block % PAGE == 0
        self._buckets: dict[int, Bucket] = {}
        self._movable: npt.NDArray[np.int64] = np.zeros(max(buckets_hint, 1), dtype=np.int64)
        self._numbers: dict[Attempt, int] = {}
        self._attempts = array("I")  # tranche, split, attempt of each number
        self._next_start = 0  # behind every position of buckets that were dropped
        self._held = self._in_memory = self._spilled = 0
        self._outside = 0  # calls at work on memory or disk without the lock
        self._writing = 0  # those of them that write to the log
        self._unneeded: list[tuple[int, int]] = []  # parts of the log that were dropped and are not freed yet
        self._closed = False
        self._changed = Condition(Lock())  # its lock guards everything; notified when blocks may have become free

    # -- append ------------------------------------------------------------------------------------------------------

    def append(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        sizes: dict[int, int] = {}
        for shard in shards:
            sizes[shard.bucket] = sizes.get(shard.bucket, 0) + shard.length
        with self._changed:
            fits_alone = sum(-(-size // self._arena.block) for size in sizes.values()) <= self._arena.blocks
            while fits_alone:
                self._open()
                lacking = self._blocks_for(sizes) - self._arena.free
                if lacking <= 0:
                    self._take(attempt, shards, sizes)
                    return
                moves = self._pick(lacking)
                if moves:
                    self._spill(moves)
                else:
                    self._changed.wait()  # others spill or read, and will free blocks
            self._open()
            self._take_to_log(attempt, shards)

    def _blocks_for(self, sizes: dict[int, int]) -> int:
        """Blocks that the buckets need to grow by these sizes; rather too many where there are plenty."""
        count = sum(sizes.values()) // self._arena.block + 2 * len(sizes)
        if count <= self._arena.free:
            return count
        count = 0
        for number, size in sizes.items():
            bucket = self._buckets.get(number)
            tail = bucket.tail if bucket else None
            lacking = size - self._arena.room(tail) if tail else size
            if lacking > 0:
                count += -(-lacking // self._arena.block)
        return count

    def _take(self, attempt: Attempt, shards: Sequence[Shard], sizes: dict[int, int]) -> None:
        """Copy the shards into memory. There is room: this cannot fail."""
        number = self._number(attempt)
        pack, copy = RECORD.pack, self._arena.append
        for bucket_number, sequence, rows, checksum, payload, length in shards:
            bucket = self._buckets.get(bucket_number) or self._new_bucket(bucket_number)
            bucket.records += pack(number, sequence, rows, length, checksum)
            if length:
                chain = bucket.tail
                if chain is None:
                    chain = Chain(bucket.end)
                    bucket.chains.append(chain)
                for buffer in payload:
                    copy(chain, buffer)
                bucket.end += length
        for bucket_number, size in sizes.items():
            self._movable[bucket_number] += size
            self._in_memory += size
            self._held += size

    def _take_to_log(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        """Shards that are larger than the whole budget go straight to the log."""
        buffers = [memoryview(buffer).cast("B") for shard in shards for buffer in shard.payload]
        length = sum(shard.length for shard in shards)
        offset = self._write([buffer for buffer in buffers if buffer.nbytes], length)
        self._spilled += length
        number = self._number(attempt)
        for shard in shards:
            bucket = self._buckets.get(shard.bucket) or self._new_bucket(shard.bucket)
            bucket.records += RECORD.pack(number, shard.sequence, shard.rows, shard.length, shard.checksum)
            if shard.length:
                bucket.log(bucket.end, shard.length, offset)
            bucket.end += shard.length
            offset += shard.length
        self._held += length

    # -- spill -------------------------------------------------------------------------------------------------------

    def _pick(self, blocks: int) -> list[_Move]:
        """The largest buckets that are not moving yet: enough to free `blocks` blocks, or a round's worth."""
        enough = max(blocks, min(SPILL_AT_ONCE // self._arena.block, self._arena.blocks // 8))
        moves: list[_Move] = []
        while enough > 0:
            number = int(self._movable.argmax())
            if not self._movable[number]:
                break
            self._movable[number] = 0
            bucket = self._buckets[number]
            for chain in bucket.chains:
                if not chain.moving:
                    moves.append(_Move(number, bucket, chain))
                    enough -= len(chain.blocks)
        return moves

    def _spill(self, moves: list[_Move]) -> None:
        """Write the chains to the log and free their blocks; where that fails they stay as they were."""
        views: list[memoryview] = []
        length = 0
        for move in moves:
            move.chain.moving = True
            move.chain.pins += 1
            reach = pages_of(move.length) if self._paged else move.length
            views += self._arena.views(move.chain, 0, reach)
            length += move.length
        written = False
        offset = 0
        try:
            offset = self._write(views, sum(view.nbytes for view in views), pages=self._paged)
            self._spilled += length
            written = True
        finally:
            views.clear()
            for move in moves:
                number, bucket, chain = move
                chain.moving = False
                if chain.retired:  # the bucket was dropped meanwhile, so nobody needs what was written
                    pass
                elif written:
                    bucket.log(chain.start, chain.length, offset)
                    bucket.chains.remove(chain)
                    self._in_memory -= chain.length
                    chain.retired = True
                else:
                    self._movable[number] += chain.length
                offset += pages_of(move.length) if self._paged else move.length
                self._unpin(chain)
            self._changed.notify_all()

    def _write(self, buffers: list[memoryview], length: int, *, pages: bool = False) -> int:
        """Write to the log without the lock. Returns the offset."""
        offset = self._log.reserve(length, pages=pages)
        self._writing += 1
        try:
            with self._unlocked():
                self._log.write(offset, buffers, pages=pages)
        except BaseException:
            self._log.give_back(offset, length)
            raise
        finally:
            self._writing -= 1
        return offset

    # -- read --------------------------------------------------------------------------------------------------------

    def shards(self, bucket: int, superseded: Collection[Attempt] = ()) -> list[StoredShard]:
        return self._arranged(bucket, superseded, only=False)

    def shards_of(self, bucket: int, attempts: Collection[Attempt]) -> list[StoredShard]:
        return self._arranged(bucket, attempts, only=True)

    def _arranged(self, bucket: int, named: Collection[Attempt], *, only: bool) -> list[StoredShard]:
        """A bucket's shards: those of the named attempts (only), or all others."""
        with self._changed:
            self._open()
            found = self._buckets.get(bucket)
            if found is None:
                return []
            records, start = bytes(found.records), found.start
            attempts = np.array(self._attempts, dtype=np.uint32).reshape(-1, 3)
            numbers = [self._numbers[each] for each in named if each in self._numbers]
        return arranged(records, start, attempts, np.array(numbers, dtype=np.uint32), only=only)

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        into = into.cast("B")
        wanted = stretches(shards)
        if sum(each.length for each in wanted) != into.nbytes:
            raise ValueError(f"a buffer of {into.nbytes} bytes for shards of {sum(s.length for s in shards)}")
        copies: list[tuple[Chain, int, memoryview]] = []
        pieces: list[LogRead] = []
        with self._changed:
            self._open()
            self._locate(bucket, wanted, into, copies, pieces)
            for chain, _, _ in copies:
                chain.pins += 1
            try:
                with self._unlocked():
                    for chain, at, view in copies:
                        self._arena.copy(chain, at, view)
                    self._log.read(pieces)
                    verify(bucket, shards, into)
            except CorruptBlock:
                self._locate(bucket, wanted, into, [], [])  # raises where it was dropped: its part of the log is freed
                raise
            finally:
                for chain, _, _ in copies:
                    self._unpin(chain)
                self._changed.notify_all()

    def _locate(
        self,
        number: int,
        wanted: list[Stretch],
        into: memoryview,
        copies: list[tuple[Chain, int, memoryview]],
        pieces: list[LogRead],
    ) -> None:
        """Find the stretches in memory (`copies`: chain, offset in it, target) and in the log (`pieces`).

        Both in the order of the stream, which is the log's order too unless a spill was tried twice."""
        bucket = self._buckets.get(number)
        if not wanted:
            return
        if bucket is None or wanted[0].position < bucket.start or wanted[-1].position >= bucket.end:
            raise LookupError(f"the shards of bucket {number} that are asked for were dropped")
        parts = bucket.parts()
        current = 0
        for position, at, length in wanted:
            while length:
                while parts[current].end <= position:
                    current += 1
                start, end, offset, chain = parts[current]
                count = min(length, end - position)
                view = into[at : at + count]
                if chain is not None:
                    copies.append((chain, position - start, view))
                else:
                    pieces.append(LogRead(offset + position - start, view))
                position += count
                at += count
                length -= count

    # -- the rest ----------------------------------------------------------------------------------------------------

    def expect(self, buckets: Collection[int]) -> None:
        with self._changed:
            self._open()
            found = [self._buckets[number] for number in buckets if number in self._buckets]
            parts = [part for bucket in found for part in bucket.in_log()]
            if parts:
                with self._unlocked():
                    self._log.expect(parts)

    def drop(self, buckets: Collection[int]) -> None:
        with self._changed:
            for number in buckets:
                bucket = self._buckets.pop(number, None)
                if bucket is None:
                    continue
                self._unneeded += bucket.in_log()
                self._next_start = max(self._next_start, bucket.end)
                self._held -= bucket.length
                self._movable[number] = 0
                for chain in bucket.chains:
                    self._in_memory -= chain.length
                    chain.retired = True
                    self._free(chain)
            self._changed.notify_all()

    def free(self) -> None:
        with self._changed:
            parts, self._unneeded = self._unneeded, []
            if not parts or self._closed:
                return
            if not self._buckets and not self._writing:  # with what is too little to be freed by itself
                parts = [(0, self._log.end)]
            with self._unlocked():
                self._log.forget(parts)

    def stats(self) -> StoreStats:
        """Takes no lock, so the event loop may call it. During an append the numbers may not fit each other."""
        return StoreStats(held=self._held, in_memory=self._in_memory, spilled=self._spilled)

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._outside)
            self._buckets.clear()
            self._held = self._in_memory = 0
            self._movable[:] = 0
            self._arena.close()
            self._log.close()

    def _open(self) -> None:
        if self._closed:
            raise ValueError("the store is closed")

    def _number(self, attempt: Attempt) -> int:
        number = self._numbers.get(attempt)
        if number is None:
            number = self._numbers[attempt] = len(self._numbers)
            self._attempts.extend((attempt.tranche, attempt.split, attempt.attempt))
        return number

    def _new_bucket(self, number: int) -> Bucket:
        bucket = self._buckets[number] = Bucket(self._next_start)
        if number >= len(self._movable):
            self._movable = np.pad(self._movable, (0, max(number + 1, 2 * len(self._movable)) - len(self._movable)))
        return bucket

    def _unpin(self, chain: Chain) -> None:
        chain.pins -= 1
        self._free(chain)

    def _free(self, chain: Chain) -> None:
        """Free its blocks, unless the bucket still needs them or somebody uses them."""
        if chain.retired and not chain.pins and not self._closed:
            self._arena.give_back(chain)

    @contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._outside += 1
        self._changed.release()
        try:
            yield
        finally:
            self._changed.acquire()
            self._outside -= 1
            if self._closed:
                self._changed.notify_all()
