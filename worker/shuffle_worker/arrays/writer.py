"""The reduce side: puts slabs in their places, then encodes and writes every output object once.

    bucket -> its slabs, some at a time, through reused buffers -> the objects of its box, side by side in another
    reused buffer -> each is encoded and written

Where a function is called, what is put together is the frame of the box (`frame.py`), and the objects are what the
function returns for its blocks (`calls.py`). Then the memory is that of a frame, a block, a result and an object.

Memory of one lease: the objects of one box, two times `READ_BYTES` of slabs (or one slab), and one encoded object (to
an object store, as many as `Writes` has room for).

Every element of a box arrives exactly once, in a slab or as missing. The sum is checked before anything is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import xxhash
from msgspec import Struct

from shuffle_protocol.errors import Internal
from shuffle_protocol.shards import StoredShard
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.calls import BlockCalls, call, call_of
from shuffle_worker.arrays.canvas import Canvas, canvas_bytes, fill_beyond, from_a_page
from shuffle_worker.arrays.coding import Array, Coding, is_variable
from shuffle_worker.arrays.fetch import Writes
from shuffle_worker.arrays.frame import HaloFrame
from shuffle_worker.arrays.record import RechunkPlan
from shuffle_worker.arrays.slabs import Slab, decode, octets
from shuffle_worker.arrays.store import Codecs
from shuffle_worker.runtime.direct import PAGE
from shuffle_worker.runtime.stopwatch import WRITE, spending
from shuffle_worker.steps.readback import Buffers, portions
from shuffle_worker.store.store import ShardSource

READ_BYTES = 4 << 20
"""Bytes of slabs that are read from the store at once; the next ones are read meanwhile."""


Item = tuple[grid.Index, Array | None]
"""An object of the output: its place, and its elements; None if all are missing and may stay so."""


class ArrayRecord(Struct, frozen=True, array_like=True):
    """What was written of one array."""

    array: int
    stored: int
    missing: int
    """Objects that are not stored because all their elements are the fill value."""
    elements: int
    digest: int
    """The sum, modulo 2**64, of a hash of every stored object's key and bytes, so workers' digests can be added."""


class ArrayGroupRecord(Struct, frozen=True):
    """What was written for a group; stored in the staging folder."""

    plan: str
    group: int
    arrays: list[ArrayRecord]
    sizes: list[int]
    """Bytes of each stored object."""

    @property
    def elements(self) -> int:
        return sum(record.elements for record in self.arrays)


class Writer:
    """Writes the groups of a plan. coding: returns the coding of an output array. buffers: for boxes. Several threads
    call it."""

    def __init__(
        self, plan: RechunkPlan, folder: str, coding: Callable[[int], Coding], calls: BlockCalls, buffers: Buffers
    ) -> None:
        self._plan = plan
        self._calls = calls
        self._objects = Buffers()
        self._folder = folder
        self._coding = coding
        self._reading = Buffers()
        self._ahead = ThreadPoolExecutor(1, "slabs")
        self._placing = buffers
        self._fills: dict[int, Any] = {}  # the input's fill value by array, where the output's differs

    def write(self, group: int, source: ShardSource, writes: Writes) -> ArrayGroupRecord:
        """Puts all objects of a group; `writes.finish` is the caller's."""
        sizes: list[int] = []
        buckets = range(self._plan.groups[group], self._plan.groups[group + 1])
        progress = GroupProgress(source, sum(self._plan.buckets[bucket].items for bucket in buckets))
        records = [self._bucket(bucket, source, writes, sizes, progress) for bucket in buckets]
        return ArrayGroupRecord(self._plan.summary.fingerprint, group, merged(records), sizes)

    def _bucket(
        self, number: int, source: ShardSource, writes: Writes, sizes: list[int], progress: GroupProgress
    ) -> ArrayRecord:
        bucket = self._plan.buckets[number]
        array = self._plan.arrays[bucket.array]
        coding = self._coding(bucket.array)
        box = grid.bucket_box(array.axes, bucket.part, bucket.box)
        shards = source.shards(number)
        counted = sum(shard.rows for shard in shards)
        if counted != grid.elements(box):
            raise Internal(
                f"{array.path or 'the array'}: {counted:,} elements arrived for a box of {grid.elements(box):,}"
            )
        stored = missing = digest = 0
        found = self._assembled if array.called is None else self._returned
        with closing(found(number, source, shards, writes, progress)) as objects:
            for item, elements in objects:
                with spending(WRITE):
                    data = b"" if elements is None or coding.is_empty(elements) else coding.encode(elements)
                if not len(data):
                    missing += 1
                    continue
                key = f"{array.path}/{coding.key(item)}".lstrip("/")
                with spending(WRITE):
                    writes.put(f"{self._folder}/{key}", data)
                stored += 1
                sizes.append(len(data))
                digest += object_hash(key, data)
        return ArrayRecord(bucket.array, stored, missing, counted, digest % (1 << 64))

    def _assembled(
        self, number: int, source: ShardSource, shards: Sequence[StoredShard], writes: Writes, progress: GroupProgress
    ) -> Generator[Item]:
        """The objects of a bucket, out of what was sent; each is valid until all is written."""
        bucket = self._plan.buckets[number]
        array, coding = self._plan.arrays[bucket.array], self._coding(bucket.array)
        box = grid.bucket_box(array.axes, bucket.part, bucket.box)
        whole = None if is_variable(coding.dtype) else self._placing.take(canvas_bytes(bucket.items, coding))
        try:
            canvas = Canvas(array, coding, box, whole, self._missing(bucket.array, coding))
            for slab in self._slabs(number, source, shards, coding.dtype):
                canvas.place(slab)
            for one in canvas.objects():
                yield one
                progress.add()
        finally:
            if whole is not None:
                writes.afterwards(partial(self._placing.give, whole))

    def _returned(
        self, number: int, source: ShardSource, shards: Sequence[StoredShard], writes: Writes, progress: GroupProgress
    ) -> Generator[Item]:
        """The objects of a bucket, out of what the function returned for its blocks; each is valid until the next
        one."""
        bucket = self._plan.buckets[number]
        array, coding = self._plan.arrays[bucket.array], self._coding(bucket.array)
        axes, called = array.axes, array.called
        assert called is not None
        box = grid.bucket_box(axes, bucket.part, bucket.box)
        given = np.dtype(called.given)
        whole = self._placing.take(grid.elements(grid.frame_box(axes, box)) * given.itemsize)
        room = self._objects.take(PAGE + coding.item_bytes)
        try:
            frame = HaloFrame(axes, box, given, octets(whole), self._source_fill(bucket.array))
            for slab in self._slabs(number, source, shards, given):
                frame.place(slab)
            frame.check()
            elements = from_a_page(room)[: coding.item_bytes].view(coding.dtype).reshape(coding.shape)
            with self._calls.host() as host:
                for item in grid.items_of(axes, box):
                    place = grid.item_box(axes, item)
                    for chunk in grid.cut_up(place, called.chunks):
                        one = call_of(array, chunk)
                        result = call(host, self._calls.asked, one, frame.block(chunk), progress)
                        elements[grid.inside(chunk, place)] = result
                    fill_beyond(elements, grid.shape_of(place), coding.fill)
                    yield item, elements
                    with spending(WRITE):
                        writes.released()  # the next one is made in the same place
                    progress.add()
        finally:
            writes.afterwards(partial(self._objects.give, room))
            self._placing.give(whole)

    def _missing(self, array: int, coding: Coding) -> Any:
        """The value of elements that the input does not store."""
        plan = self._plan.arrays[array]
        return self._source_fill(array) if plan.refilled else coding.fill

    def _source_fill(self, array: int) -> Any:
        if array not in self._fills:
            self._fills[array] = Coding(self._plan.arrays[array].source, Codecs()).fill
        return self._fills[array]

    def _slabs(
        self, bucket: int, source: ShardSource, shards: Sequence[StoredShard], dtype: np.dtype[Any]
    ) -> Iterator[Slab]:
        """The slabs of a bucket, in the order of the store; each is valid until the next one. While those of a portion
        are put in their places, the next portion is read."""
        ahead = deque(portions(sorted(shards, key=lambda shard: shard.handle), READ_BYTES))
        reading: Future[pa.Buffer] | None = None
        buffer: pa.Buffer | None = None
        try:
            while ahead:
                portion = ahead.popleft()
                buffer = (reading or self._submit(bucket, source, portion)).result()
                reading = self._submit(bucket, source, ahead[0]) if ahead else None
                view = memoryview(buffer).cast("B")
                at = 0
                for shard in portion:
                    yield decode(view[at : at + shard.length], dtype)
                    at += shard.length
                self._reading.give(buffer)
                buffer = None
        finally:
            if buffer is not None:
                self._reading.give(buffer)
            if reading is not None and not reading.cancel():
                with suppress(Exception):
                    self._reading.give(reading.result())

    def _submit(self, bucket: int, source: ShardSource, portion: Sequence[StoredShard]) -> Future[pa.Buffer]:
        return self._ahead.submit(self._portion, bucket, source, portion)

    def _portion(self, bucket: int, source: ShardSource, portion: Sequence[StoredShard]) -> pa.Buffer:
        """A portion of a bucket, in a buffer that is to be given back."""
        size = sum(shard.length for shard in portion)
        buffer = self._reading.take(max(size, READ_BYTES))
        try:
            source.read(bucket, portion, memoryview(buffer).cast("B")[:size])
        except BaseException:
            self._reading.give(buffer)
            raise
        return buffer


class GroupProgress:
    """How many of a group's objects are done, reported while a function is called for them."""

    def __init__(self, source: ShardSource, items: int) -> None:
        self._source = source
        self._items = max(items, 1)
        self._done = 0

    def __call__(self) -> None:
        """A `Check`: raises where the lease was taken away."""
        self._source.at(self._done / self._items)

    def add(self) -> None:
        """An object that is done."""
        self._done += 1


def merged(records: list[ArrayRecord]) -> list[ArrayRecord]:
    """One record for each array."""
    out: dict[int, ArrayRecord] = {}
    for one in records:
        other = out.get(one.array)
        out[one.array] = (
            one
            if other is None
            else msgspec.structs.replace(
                one,
                stored=one.stored + other.stored,
                missing=one.missing + other.missing,
                elements=one.elements + other.elements,
                digest=(one.digest + other.digest) % (1 << 64),
            )
        )
    return list(out.values())


def object_hash(key: str, data: bytes | memoryview) -> int:
    found = xxhash.xxh3_64(key.encode() + b"\0")
    found.update(data)
    return found.intdigest()
