"""How the work on arrays is cut: pieces and boxes of each array; splits, buckets and groups of the whole job. Pure.

    piece    chunks that are read together; grows along the dimensions in which an output box reaches furthest, so that
             slabs are few and large
    box      output objects that are owned together; grows along the last dimensions first, so that slabs hold long runs
    split    consecutive pieces; one lease reads it
    group    consecutive buckets (boxes); one lease writes it
    wave     splits and groups that exchange nothing with the rest of the job (`grid.parts`), so that it can be written
             as soon as it is read; small parts share a wave

Groups are ordered so that the runs which the coordinator gives to workers have equal weight within every wave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from shuffle_protocol.memory import MIB
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.grid import Axis
from shuffle_worker.arrays.record import ArrayPlan, ArraySplit, OutputBox, PieceRun

PIECE_BYTES = 32 * MIB
LEAST_PIECE_BYTES = 1 * MIB
SPLIT_BYTES = 64 * MIB
WANTED_SPLITS = 16
BOX_BYTES = 64 * MIB
LEAST_BOX_BYTES = 1 * MIB
WANTED_BOXES = 24
"""The least number of boxes, so that work is spread evenly; or eight a worker, if that is more."""

BOXES_A_WORKER = 8
MOST_BOXES = 20_000
MOST_WAVES = 64
LEAST_WAVE_BYTES = 256 * MIB
"""Bytes of elements in a wave, which must keep all workers busy."""

SMALL_GROUP_BYTES = 1 * MIB
"""Small buckets share a group up to this many bytes, so that a thousand small arrays do not take a thousand leases."""


class LayoutSizes(NamedTuple):
    """Decoded bytes."""

    piece: int
    """The most that is read at once."""
    box: int
    """The most that one lease writes."""
    split: int
    wave: int


def sizes_for(total: int, largest_item: int, workers: int, working: int) -> LayoutSizes:
    """total: bytes of all arrays. largest_item: bytes of the largest output object. working: memory of a lease."""
    wanted = total // max(WANTED_BOXES, BOXES_A_WORKER * workers)
    box = max(min(wanted, BOX_BYTES, working // 4), LEAST_BOX_BYTES, total // MOST_BOXES)
    split = min(max(total // max(WANTED_SPLITS, 4 * workers), LEAST_PIECE_BYTES), SPLIT_BYTES)
    piece = max(min(PIECE_BYTES, working // 4, split), LEAST_PIECE_BYTES)
    wave = max(LEAST_WAVE_BYTES, total // MOST_WAVES, 2 * workers * max(box, largest_item))
    return LayoutSizes(piece, box, split, wave)


def cut_axes(axes: Sequence[Axis], itemsize: int, sizes: LayoutSizes) -> list[Axis]:
    """The axes with their pieces, boxes and segments."""
    segments = [grid.shared_cut(axis) for axis in axes]
    boxes = _grow_boxes(axes, segments, itemsize, sizes.box)
    pieces = _grow_pieces(axes, boxes, itemsize, sizes.piece)
    out: list[Axis] = []
    for axis, segment, box, piece in zip(axes, segments, boxes, pieces, strict=True):
        reach = max(box * axis.item, piece * axis.chunk if axis.step == 1 else 1)
        if segment < axis.length:
            segment = min(segment * -(-reach // segment), axis.length)
        items = -(-segment // axis.item)
        box = -(-items // -(-items // box))
        out.append(msgspec.structs.replace(axis, piece=piece, box=box, segment=max(segment, 1)))
    return out


def _grow_boxes(axes: Sequence[Axis], segments: Sequence[int], itemsize: int, most: int) -> list[int]:
    """Objects of a box by dimension: first within the segments, then beyond them."""
    out = [1] * len(axes)

    def length(at: int) -> int:
        return out[at] * axes[at].item + axes[at].halo

    size = itemsize * math.prod(length(at) for at in range(len(axes)))
    for inside in (True, False):
        for at in reversed(range(len(axes))):
            axis = axes[at]
            limit = max(-(-segments[at] // axis.item), 1) if inside else max(axis.items, 1)
            others = max(size // max(length(at), 1), 1)
            room = (most // others - axis.halo) // (out[at] * axis.item)
            out[at] *= min(max(room, 1), max(limit // out[at], 1))
            size = others * length(at)
        if not inside or size * 2 > most:
            break
    return out


def _grow_pieces(axes: Sequence[Axis], boxes: Sequence[int], itemsize: int, most: int) -> list[int]:
    """Chunks of a piece by dimension. Doubles the dimension in which a box reaches furthest beyond it, while there is
    room."""
    out = [1] * len(axes)
    counts = [max(len(axis.chunks_over((0, axis.length))), 1) for axis in axes]

    def reach(at: int) -> int:
        """Output positions that a piece covers in a dimension."""
        axis = axes[at]
        return max(min(out[at] * max(axis.chunk // axis.step, 1), axis.length), 1)

    while True:
        size = itemsize * math.prod(reach(at) for at in range(len(axes)))
        open_ = [at for at in range(len(axes)) if out[at] < counts[at]]
        if not open_ or size * 2 > most:
            break
        best = max(open_, key=lambda at: (min(boxes[at] * axes[at].item, axes[at].length) / reach(at), at))
        out[best] = min(out[best] * 2, counts[best])
    return out


class Cut(NamedTuple):
    """A whole job, cut into splits, buckets and groups."""

    splits: list[ArraySplit]
    buckets: list[OutputBox]
    groups: list[int]
    """The first bucket of each group, and the number of buckets at the end."""
    split_wave: list[int]
    """The wave of each split, in their order."""
    group_wave: list[int]
    balance: float
    parts: int


def cut_job(arrays: Sequence[ArrayPlan], stored: Sequence[float], sizes: LayoutSizes, workers: int) -> Cut:
    """stored: for each array, its bytes as stored in the input divided by its decoded bytes."""
    splits: list[ArraySplit] = []
    split_wave: list[int] = []
    bundles: list[tuple[int, list[OutputBox]]] = []  # the wave and the buckets of each group
    wave = parts = 0
    held = 0
    gather = _Gather(sizes, stored, arrays)
    small: list[OutputBox] = []
    for array, part in _parts(arrays):
        axes = arrays[array].axes
        each = list(_buckets(array, arrays[array], part))
        size = sum(bucket.bytes for bucket in each)
        parts += 1
        if held and held + size > sizes.wave:
            splits += gather.take()
            split_wave += [wave] * (len(splits) - len(split_wave))
            bundles += [(wave, bundle) for bundle in _bundles(small)]
            small, held, wave = [], 0, wave + 1
        held += size
        small += each
        for piece in range(grid.pieces(axes)):
            gather.add(array, part, piece)
    splits += gather.take()
    split_wave += [wave] * (len(splits) - len(split_wave))
    bundles += [(wave, bundle) for bundle in _bundles(small)]
    order, balance = dealt([(w, sum(b.bytes for b in bundle)) for w, bundle in bundles], workers)
    buckets: list[OutputBox] = []
    groups = [0]
    for at in order:
        buckets += bundles[at][1]
        groups.append(len(buckets))
    return Cut(splits, buckets, groups, split_wave, [bundles[at][0] for at in order], balance, parts)


def _parts(arrays: Sequence[ArrayPlan]) -> Iterator[tuple[int, int]]:
    for number, array in enumerate(arrays):
        if all(axis.length for axis in array.axes):
            for part in range(grid.parts(array.axes)):
                yield number, part


def _buckets(number: int, array: ArrayPlan, part: int) -> Iterator[OutputBox]:
    for box in range(grid.boxes(array.axes)):
        where = grid.bucket_box(array.axes, part, box)
        if grid.elements(where) > 0:
            items = grid.item_count(array.axes, where)
            yield OutputBox(number, part, box, items, grid.elements(where) * array.itemsize)


def _bundles(buckets: Sequence[OutputBox]) -> Iterator[list[OutputBox]]:
    """The groups of a wave: single buckets, or several small ones."""
    held: list[OutputBox] = []
    size = 0
    for bucket in buckets:
        if held and size + bucket.bytes > SMALL_GROUP_BYTES:
            yield held
            held, size = [], 0
        held.append(bucket)
        size += bucket.bytes
    if held:
        yield held


class _Gather:
    """Gathers consecutive pieces into splits."""

    def __init__(self, sizes: LayoutSizes, stored: Sequence[float], arrays: Sequence[ArrayPlan]) -> None:
        self._sizes = sizes
        self._stored = stored
        self._arrays = arrays
        self._done: list[ArraySplit] = []
        self._runs: list[PieceRun] = []
        self._elements = self._bytes = 0
        self._cost = 0.0

    def add(self, array: int, part: int, piece: int) -> None:
        plan = self._arrays[array]
        count = grid.elements(grid.piece_box(plan.axes, part, piece))
        if count <= 0:
            return
        size = count * plan.itemsize
        if self._runs and self._bytes + size / 2 > self._sizes.split:
            self._close()
        last = self._runs[-1] if self._runs else None
        if last is not None and (last.array, last.part, last.stop) == (array, part, piece):
            self._runs[-1] = PieceRun(array, part, last.first, piece + 1)
        else:
            self._runs.append(PieceRun(array, part, piece, piece + 1))
        self._elements += count
        self._bytes += size
        self._cost += size * self._stored[array]

    def take(self) -> list[ArraySplit]:
        self._close()
        done, self._done = self._done, []
        return done

    def _close(self) -> None:
        if self._runs:
            self._done.append(ArraySplit(self._runs, self._elements, int(self._cost)))
        self._runs, self._elements, self._bytes, self._cost = [], 0, 0, 0.0


def dealt(groups: Sequence[tuple[int, int]], workers: int) -> tuple[list[int], float]:
    """An order of the groups, wave by wave, and the largest weight of a worker divided by the mean.

    The coordinator cuts the order into runs, one for each worker, with equally many groups; here they get about equal
    bytes too. groups: wave and bytes of each."""
    count = len(groups)
    each = -(-count // workers) if count else 0
    room = [max(min(each, count - worker * each), 0) for worker in range(workers)]
    weight = [0] * workers
    runs: list[list[int]] = [[] for _ in range(workers)]
    for at in sorted(range(count), key=lambda at: (groups[at][0], -groups[at][1], at)):
        worker = min((w for w in range(workers) if len(runs[w]) < room[w]), key=lambda w: (weight[w], w))
        runs[worker].append(at)
        weight[worker] += groups[at][1]
    total = sum(weight)
    return [at for run in runs for at in run], max(weight) * workers / total if total else 1.0
