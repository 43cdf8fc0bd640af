"""The map side: reads input chunks once, assembles pieces, and cuts them into slabs for the buckets that they overlap.

    run of pieces -> fetch and decode the chunks of a piece -> (assemble them, if there are several) -> slabs

Memory of one lease: a piece, one chunk as stored and decoded (several from an object store, within a piece's room), and
the slabs of a step, `STEP_BYTES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import product
from types import EllipsisType
from typing import NamedTuple

import numpy as np
from zarr.core.array import AsyncArray
from zarr.storage import StorePath

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_protocol.shards import Shard
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import Array, Coding, carrier, is_variable, sent_type
from shuffle_worker.arrays.fetch import Fetcher
from shuffle_worker.arrays.grid import Box
from shuffle_worker.arrays.record import ArrayPlan, RechunkPlan, tag_digest
from shuffle_worker.arrays.slabs import cut, encode, octets
from shuffle_worker.arrays.store import Codecs, StorageStore
from shuffle_worker.runtime.direct import PAGE
from shuffle_worker.steps.readback import Buffers
from shuffle_worker.storage import LocalStorage, Storage, urls
from shuffle_worker.transfer.work import Step

STEP_BYTES = 8 << 20
"""Bytes of slabs in a step: they are sent while the next ones are cut."""


Slices = tuple[slice | EllipsisType, ...]


class Take(NamedTuple):
    """What a piece takes of one input chunk: which elements of the chunk go to which of the piece."""

    place: grid.Index
    out_of: Slices
    into: Slices


class Chunk(NamedTuple):
    """A chunk's part of a piece: where it goes, and its elements in the output's type, or None if the chunk is
    missing."""

    place: grid.Index
    into: Slices
    data: Array | None
    size: int
    """Bytes fetched."""


class DecodedPiece(NamedTuple):
    """A piece of the input, read and decoded."""

    data: Array
    """Its elements."""
    there: dict[grid.Index, bool]
    """Which of its chunks the input has."""
    size: int
    """Bytes fetched."""


class PieceSource:
    """Reads decoded pieces of one input array. Several threads call it."""

    def __init__(self, plan: ArrayPlan, storage: Storage, folder: str, codecs: Codecs, fetcher: Fetcher) -> None:
        self.plan = plan
        self.coding = Coding(plan.source, codecs)
        self._target = sent_type(plan, codecs)
        self._storage = storage
        self._store = folder
        self._folder = f"{folder}/{plan.path}".rstrip("/")
        if isinstance(storage, LocalStorage):
            self._folder = urls.local_path(self._folder)
        self._codecs = codecs
        self._fetcher = fetcher
        # Whether a file's bytes are the elements that are sent, so that they can be read to their places at once.
        self._in_place = fetcher.local and self.coding.plain and self.coding.dtype == self._target and not plan.inner
        self._files = [-(-axis.size // each) for axis, each in zip(plan.axes, plan.file_shape, strict=True)]

    def chunks(self, box: Box) -> list[range]:
        """The input chunks that overlap a box, by dimension."""
        return [axis.chunks_over(span) for axis, span in zip(self.plan.axes, box, strict=True)]

    @contextmanager
    def piece(self, box: Box, buffers: Buffers) -> Iterator[DecodedPiece]:
        """A piece, valid inside the context."""
        if all(len(found) == 1 for found in self.chunks(box)):
            with closing(self._chunks(self._takes(box))) as found:
                one = next(found)
                data = np.broadcast_to(self._fill(), grid.shape_of(box)) if one.data is None else one.data
                yield DecodedPiece(data, {one.place: one.data is not None}, one.size)
            return
        shape = grid.shape_of(box)
        count = math.prod(shape) * self._target.itemsize
        buffer = None if is_variable(self._target) else buffers.take(count + PAGE)
        try:
            if buffer is None:
                out: Array = np.empty(shape, self._target)
            else:
                out = octets(buffer)[:count].view(self._target).reshape(shape)
            yield self._assembled(box, out)
        finally:
            if buffer is not None:
                buffers.give(buffer)

    def _assembled(self, box: Box, out: Array) -> DecodedPiece:
        there: dict[grid.Index, bool] = {}
        size = 0
        variable = is_variable(self._target)
        words = out if variable else out.view(carrier(self._target))
        takes: list[Take] = []
        for take in self._takes(box):
            target = words[take.into]
            if self._in_place and target.shape == self.coding.shape and target.flags.c_contiguous:
                there[take.place] = found = self._read_into(take.place, target)
                size += target.nbytes if found else 0
                if not found:
                    out[take.into] = self._fill()
            else:
                takes.append(take)
        for one in self._chunks(takes):
            at = one.into
            there[one.place] = one.data is not None
            size += one.size
            if one.data is None:
                out[at] = self._fill()
            else:
                words[at] = one.data if variable else one.data.view(words.dtype)
        return DecodedPiece(out, there, size)

    def _read_into(self, place: grid.Index, target: Array) -> bool:
        """Read a chunk to where its elements are needed. False if it is missing."""
        known = self._known(place)
        if known is False:
            return False
        where = f"{self._folder}/{self.coding.key(place)}"
        try:
            tag = self._fetcher.read_into(where, target.reshape(-1).view(np.uint8).data)
        except ValueError as error:
            raise self.coding.no_chunk(where, error) from error
        if tag is None:
            if known:
                raise _gone(where)
            return False
        self._unchanged(place, tag, where)
        return True

    def _fill(self) -> Array:
        out = np.empty((), self._target)
        out[()] = self.coding.fill
        return out

    def _takes(self, box: Box) -> list[Take]:
        """What a box takes of each chunk, without the chunks that the selection steps over."""
        by_axis: list[list[tuple[int, slice, slice]]] = []
        for axis, span in zip(self.plan.axes, box, strict=True):
            found: list[tuple[int, slice, slice]] = []
            for chunk in axis.chunks_over(span):
                start, stop = axis.chunk_span(chunk)
                start, stop = max(start, span[0]), min(stop, span[1])
                if start < stop:
                    into = slice(start - span[0], stop - span[0])
                    found.append((chunk, axis.within_chunk(chunk, (start, stop)), into))
            by_axis.append(found)
        return [
            Take(tuple(p for p, _, _ in each), (..., *(o for _, o, _ in each)), (..., *(i for _, _, i in each)))
            for each in product(*by_axis)
        ]

    def _chunks(self, takes: list[Take]) -> Generator[Chunk]:
        """Each chunk's part of a box, valid until the next one."""
        if self.plan.inner:
            yield from self._inner(takes)
            return
        known = [self._known(take.place) for take in takes]
        paths = [
            f"{self._folder}/{self.coding.key(take.place)}"
            for take, there in zip(takes, known, strict=True)
            if there is not False
        ]
        with closing(self._fetcher.read(paths, self.coding.item_bytes)) as files:
            path = iter(paths)
            for (place, out_of, into), there in zip(takes, known, strict=True):
                found = None if there is False else next(files)
                where = "" if there is False else next(path)
                if found is None:
                    if there:
                        raise _gone(where)
                    yield Chunk(place, into, None, 0)
                    continue
                self._unchanged(place, found.tag, where)
                whole = self.coding.decode(found.data, where)
                yield Chunk(place, into, self._typed(whole[out_of]), len(found.data))

    def _inner(self, takes: list[Take]) -> Iterator[Chunk]:
        """Chunks of shards that are too large to be read whole: Zarr reads the index and the bytes that it needs."""
        array = AsyncArray(self.coding.metadata, StorePath(StorageStore(self._storage, self._store), self.plan.path))
        for number, (place, (_, *out_of), into) in enumerate(takes):
            file = self._file_of(place)
            if self._known(file) is False:
                yield Chunk(place, into, None, 0)
                continue
            at = tuple(
                slice(axis.chunk * chunk + one.start, axis.chunk * chunk + one.stop, one.step)
                for axis, chunk, one in zip(self.plan.axes, place, out_of, strict=True)
                if isinstance(one, slice)
            )
            try:
                data = np.asarray(self._codecs.run(array.getitem(at)))
            except (ValueError, RuntimeError) as error:
                raise DataError(f"{self._folder}: a shard cannot be read: {error}") from error
            if number + 1 == len(takes) or self._file_of(takes[number + 1].place) != file:
                self._verify(file)
            yield Chunk(place, into, self._typed(data), data.nbytes)

    def _verify(self, file: grid.Index) -> None:
        """Check, after parts of a shard were read, that it has not changed since planning."""
        if self.plan.tags is None:
            return
        where = f"{self._folder}/{self.coding.key(file)}"
        try:
            self._unchanged(file, self._storage.info(where).tag, where)
        except InputNotFound as error:
            raise _gone(where) from error

    def _unchanged(self, file: grid.Index, tag: str, where: str) -> None:
        """tag: the tag of what was read; "" if the store does not send it."""
        if not tag or self.plan.tags is None:
            return
        planned = np.frombuffer(self.plan.tags, "<u4")[grid.ravel(file, self._files)]
        if tag_digest(tag) != planned:
            raise DataError(
                f"{where}: the chunk changed while the job ran; run the job again when nothing writes to its input"
            )

    def _typed(self, data: Array) -> Array:
        return data if data.dtype == self._target else data.astype(self._target)

    def _file_of(self, place: grid.Index) -> grid.Index:
        return tuple(
            at * axis.chunk // each for at, axis, each in zip(place, self.plan.axes, self.plan.file_shape, strict=True)
        )

    def _known(self, file: grid.Index) -> bool | None:
        """Whether the input has a file; None if the plan does not say."""
        if self.plan.present is None:
            return None
        number = grid.ravel(file, self._files)
        return bool(self.plan.present[number >> 3] >> (number & 7) & 1)


class ArrayReader:
    """Reads the splits of a plan. Close it."""

    def __init__(
        self, plan: RechunkPlan, storage: Storage, folder: str, codecs: Codecs, room: int, buffers: Buffers
    ) -> None:
        """room: the most bytes of chunks that are fetched ahead. buffers: for pieces and chunks."""
        self._plan = plan
        self._fetcher = Fetcher(storage, room, buffers)
        self._buffers = buffers
        self._sources: dict[int, PieceSource] = {}
        self._open: Callable[[int], PieceSource] = lambda at: PieceSource(
            plan.arrays[at], storage, folder, codecs, self._fetcher
        )
        self._bucket_of = {(b.array, b.part, b.box): number for number, b in enumerate(plan.buckets)}
        self._group_of = group_numbers(plan)

    def close(self) -> None:
        self._fetcher.close()

    def read(self, number: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        """The slabs of a split, several a step. Pieces that overlap none of the wanted groups are counted, not read."""
        split = self._plan.splits[number]
        sequence = 0
        shards: list[Shard] = []
        rows = size = held = 0
        for run in split.runs:
            source = self._source(run.array)
            axes = source.plan.axes
            for piece in range(run.first, run.stop):
                box = grid.piece_box(axes, run.part, piece)
                count = grid.elements(box)
                if count <= 0:
                    continue
                rows += count
                targets = [
                    (bucket, target)
                    for target in grid.targets(axes, run.part, box)
                    if self._wanted(bucket := self._bucket_of[run.array, run.part, target.box], wanted)
                ]
                if not targets:
                    continue
                halos = any(axis.halo for axis in axes)
                with source.piece(box, self._buffers) as found:
                    size += found.size
                    whole = all(found.there.values())
                    for bucket, target in targets:
                        own = grid.bucket_box(axes, run.part, target.box) if halos else None
                        for part in cut(target.source, source.plan.itemsize):
                            missing = not whole and not _any(found.there, source, part)
                            values = None if missing else found.data[grid.inside(part, box)]
                            there = part if own is None else grid.moved(part, target.shift)
                            owned = None if own is None else grid.shared(there, own)
                            shards.append(encode(bucket, sequence, there, values, owned))
                            sequence += 1
                            held += shards[-1].length
                            if held >= STEP_BYTES:
                                yield Step(shards, rows, size)
                                shards, rows, size, held = [], 0, 0, 0
        yield Step(shards, rows, size)

    def _source(self, array: int) -> PieceSource:
        found = self._sources.get(array)
        if found is None:
            found = self._sources[array] = self._open(array)
        return found

    def _wanted(self, bucket: int, wanted: frozenset[int] | None) -> bool:
        return wanted is None or self._group_of[bucket] in wanted


def _gone(where: str) -> DataError:
    return DataError(f"{where}: was there when the job was planned, and is gone now")


def group_numbers(plan: RechunkPlan) -> list[int]:
    """The group of every bucket."""
    out: list[int] = []
    for group in range(len(plan.groups) - 1):
        out += [group] * (plan.groups[group + 1] - plan.groups[group])
    return out


def _any(there: dict[grid.Index, bool], source: PieceSource, box: Box) -> bool:
    """Whether the input has any chunk that overlaps a box."""
    return any(there.get(place, False) for place in grid.indices(source.chunks(box)))
