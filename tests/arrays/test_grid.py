"""Chunks, objects, pieces and boxes: they cover an array exactly once, and nothing is exchanged across parts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_worker.arrays import grid, layout
from shuffle_worker.arrays.grid import Axis
from shuffle_worker.arrays.record import ArrayPlan


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    size = draw(st.integers(1, 40))
    start = draw(st.integers(0, size - 1))
    step = draw(st.integers(1, 5)) if draw(st.booleans()) else 1
    start = start if draw(st.booleans()) else 0
    length = draw(st.integers(1, len(range(start, size, step))))
    return Axis(size, start, step, length, draw(st.integers(1, size + 2)), draw(st.integers(1, length + 2)))


@st.composite
def cut(draw: st.DrawFn) -> list[Axis]:
    found = draw(st.lists(axes(), max_size=3))
    sizes = layout.LayoutSizes(draw(st.integers(1, 300)), draw(st.integers(1, 300)), draw(st.integers(1, 600)), 1)
    return layout.cut_axes(found, 1, sizes)


def covered(found: list[Axis], spans: Any) -> np.ndarray[Any, Any]:
    """How often each position of the output is in one of the boxes."""
    count = np.zeros([axis.length for axis in found], int)
    for box in spans:
        if grid.elements(box) > 0:
            count[grid.inside(box, tuple((0, axis.length) for axis in found))] += 1
    return count


@settings(deadline=None)
@given(cut())
def test_pieces_and_boxes_cover_everything_once(found: list[Axis]) -> None:
    parts = range(grid.parts(found))
    assert (covered(found, (grid.piece_box(found, p, n) for p in parts for n in range(grid.pieces(found)))) == 1).all()
    assert (covered(found, (grid.bucket_box(found, p, n) for p in parts for n in range(grid.boxes(found)))) == 1).all()
    every = itertools.product(*(range(axis.items) for axis in found))
    assert (covered(found, (grid.item_box(found, item) for item in every)) == 1).all()


@settings(deadline=None)
@given(cut())
def test_a_piece_knows_the_boxes_that_it_meets(found: list[Axis]) -> None:
    for part in range(grid.parts(found)):
        boxes = [grid.bucket_box(found, part, n) for n in range(grid.boxes(found))]
        for number in range(grid.pieces(found)):
            piece = grid.piece_box(found, part, number)
            if grid.elements(piece) <= 0:
                continue
            shared = [grid.meet(box, piece) for box in boxes]
            meeting = {n for n, box in enumerate(shared) if all(a < b for a, b in box)}
            assert {each.box for each in grid.targets(found, part, piece)} == meeting
            for each in grid.targets(found, part, piece):
                assert each.source == shared[each.box]
                assert not any(each.shift)


@settings(deadline=None)
@given(cut())
def test_no_chunk_is_read_for_two_pieces_and_no_object_is_in_two_boxes(found: list[Axis]) -> None:
    chunks: set[grid.Index] = set()
    objects: set[grid.Index] = set()
    for part in range(grid.parts(found)):
        for number in range(grid.pieces(found)):
            box = grid.piece_box(found, part, number)
            if grid.elements(box) > 0:
                mine = set(grid.indices([a.chunks_over(span) for a, span in zip(found, box, strict=True)]))
                held = {
                    place
                    for place in mine
                    if all(a.chunk_span(i)[0] < a.chunk_span(i)[1] for a, i in zip(found, place, strict=True))
                }
                assert not held & chunks
                chunks |= held
        for number in range(grid.boxes(found)):
            box = grid.bucket_box(found, part, number)
            if grid.elements(box) > 0:
                mine = set(grid.items_of(found, box))
                assert not mine & objects
                objects |= mine


@given(axes())
def test_a_chunk_holds_the_positions_of_its_span(axis: Axis) -> None:
    taken = range(axis.start, axis.start + axis.length * axis.step, axis.step)
    for chunk in range(-(-axis.size // axis.chunk)):
        start, stop = axis.chunk_span(chunk)
        assert [x for x, at in enumerate(taken) if at // axis.chunk == chunk] == list(range(start, stop))
        if start < stop:
            inner = range(axis.chunk)[axis.within_chunk(chunk, (start, stop))]
            assert [chunk * axis.chunk + at for at in inner] == [taken[x] for x in range(start, stop)]


def array(
    shape: tuple[int, ...], source: tuple[int, ...], target: tuple[int, ...], sizes: layout.LayoutSizes
) -> ArrayPlan:
    found = [Axis(s, 0, 1, s, c, t) for s, c, t in zip(shape, source, target, strict=True)]
    names = [str(at) for at in range(len(shape))]
    item = int(np.prod(target)) * 4
    return ArrayPlan("a", b"", b"", names, layout.cut_axes(found, 4, sizes), 4, item, list(source))


MIB = 1 << 20


def test_work_is_balanced_for_every_rank() -> None:
    """The most bytes that a worker writes, over the mean, with two and with eight workers."""
    cases = [
        ((8760, 72, 144), (1, 72, 144), (8760, 12, 12)),
        ((20480, 20480), (160, 20480), (20480, 160)),
        ((240, 16, 181, 360), (1, 16, 181, 360), (240, 1, 61, 90)),
        ((512, 1024, 1024), (16, 1024, 1024), (512, 128, 128)),
        ((24, 12, 10, 181, 360), (1, 12, 10, 181, 360), (24, 3, 10, 47, 91)),
    ]
    for shape, source, target in cases:
        for workers in (2, 3, 8):
            total = int(np.prod(shape)) * 4
            sizes = layout.sizes_for(total, int(np.prod(target)) * 4, workers, 200 * MIB)
            made = array(shape, source, target, sizes)
            found = layout.cut_job([made], [1.0], sizes, workers)
            assert found.balance <= 1.2, (shape, workers)
            assert sum(split.elements for split in found.splits) == total // 4
            assert sum(bucket.items for bucket in found.buckets) == np.prod([axis.items for axis in made.axes])


def test_parts_that_exchange_nothing_are_told_apart() -> None:
    """Levels are chunked by one before and after: each is a part. Times are cut at the common multiples."""
    sizes = layout.LayoutSizes(piece=MIB, box=MIB, split=MIB, wave=16 * MIB)
    made = array((480, 16, 96, 192), (24, 1, 96, 192), (120, 1, 48, 96), sizes)
    assert grid.parts(made.axes) == 16 * 4
    found = layout.cut_job([made], [1.0], sizes, workers=2)
    assert found.parts == 64
    assert len(set(found.split_wave)) > 4
    for wave in set(found.split_wave):
        groups = [g for g, w in enumerate(found.group_wave) if w == wave]
        buckets = [b for g in groups for b in found.buckets[found.groups[g] : found.groups[g + 1]]]
        runs = [run for split, w in zip(found.splits, found.split_wave, strict=True) if w == wave for run in split.runs]
        assert {bucket.part for bucket in buckets} == {run.part for run in runs}


def test_slabs_are_few_and_large_where_chunks_are_tiny() -> None:
    """A step of time in a chunk, all of time in an output chunk: many steps are read before anything is cut."""
    sizes = layout.sizes_for(8760 * 72 * 144 * 4, 8760 * 36 * 4, 2, 200 * MIB)
    made = array((8760, 72, 144), (1, 72, 144), (8760, 6, 6), sizes)
    assert made.axes[0].piece >= 128
    boxes = grid.boxes(made.axes) * grid.parts(made.axes)
    pieces = grid.pieces(made.axes) * grid.parts(made.axes)
    assert 8760 * 72 * 144 * 4 / (boxes * pieces) > 64 << 10
