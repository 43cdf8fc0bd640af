"""Where chunks lie and which of them overlap: integer arithmetic, one dimension at a time. Pure.

All coordinates are the output's. Each dimension of an array is cut in three ways:

    chunks    of the input, as they fall on the output after the selection (uneven if it is not aligned)
    objects   of the output: one file each, a chunk or a shard
    segments  the finest cut at which both chunks and objects have an edge: no data crosses it

Several chunks are read at a time (a *piece*), several objects are owned and written at a time (a *box*), and neither
crosses a segment. One segment of each dimension makes a *part* of the array, which exchanges no data with the other
parts.

Where a function sees a halo, a box is sent more than itself: its *frame*, the halos of its outermost blocks included.
Then frames overlap, an element may go to several boxes, and data crosses every segment, so there is one. Beyond the
ends of a periodic dimension lies its other end: an element is sent there as an *image*, moved by the whole length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from types import EllipsisType
from typing import NamedTuple

from msgspec import Struct

Span = tuple[int, int]
"""[start, stop) along one dimension."""

Box = tuple[Span, ...]
"""A span of each dimension."""

Index = tuple[int, ...]


class Axis(Struct, frozen=True):
    """One dimension of an array."""

    size: int
    """Length in the input."""
    start: int
    step: int
    """`start`, `step`: the selection's."""
    length: int
    """Length in the output: output position x is input position start + x * step."""
    chunk: int
    """Input positions of a chunk, which is read as one."""
    item: int
    """Output positions of an object."""
    piece: int = 1
    """Chunks in a piece."""
    box: int = 1
    """Objects in a box."""
    segment: int = 0
    """Output positions of a segment: a multiple of the finest shared cut, or the whole length."""
    before: int = 0
    after: int = 0
    """`before`, `after`: positions of the halo."""
    boundary: str = "None"
    """What lies beyond the ends for a halo: None (nothing), Reflect, Periodic, Nearest, or a number as text."""

    # -- chunks of the input ---------------------------------------------------------------------------------------

    def edge(self, chunk: int) -> int:
        """The first output position in or behind input chunk `chunk`."""
        return min(max(-(-(chunk * self.chunk - self.start) // self.step), 0), self.length)

    def chunk_span(self, chunk: int) -> Span:
        """Output positions of a chunk; empty if the selection steps over it."""
        return self.edge(chunk), self.edge(chunk + 1)

    def chunk_of(self, position: int) -> int:
        return (self.start + position * self.step) // self.chunk

    def chunks_over(self, span: Span) -> range:
        """The chunks that hold these output positions."""
        return range(self.chunk_of(span[0]), self.chunk_of(span[1] - 1) + 1) if span[0] < span[1] else range(0)

    def within_chunk(self, chunk: int, span: Span) -> slice:
        """Where output positions lie inside the chunk that holds them all."""
        first = self.start + span[0] * self.step - chunk * self.chunk
        return slice(first, first + (span[1] - span[0] - 1) * self.step + 1, self.step)

    # -- objects of the output -------------------------------------------------------------------------------------

    @property
    def items(self) -> int:
        return -(-self.length // self.item)

    def item_span(self, item: int) -> Span:
        return item * self.item, min((item + 1) * self.item, self.length)

    def items_over(self, span: Span) -> range:
        return range(span[0] // self.item, -(-span[1] // self.item)) if span[0] < span[1] else range(0)

    # -- segments, and their pieces and boxes ----------------------------------------------------------------------

    @property
    def segments(self) -> int:
        return -(-self.length // self.segment) if self.length else 0

    def segment_span(self, segment: int) -> Span:
        return segment * self.segment, min((segment + 1) * self.segment, self.length)

    @property
    def pieces(self) -> int:
        """Pieces in a segment; those of the last one may be empty."""
        return -(-self._chunks_in_segment // self.piece)

    @property
    def _chunks_in_segment(self) -> int:
        return max(len(self.chunks_over((0, min(self.segment, self.length)))), 1)

    def piece_span(self, segment: int, piece: int) -> Span:
        start, stop = self.segment_span(segment)
        first = self.chunk_of(start) + piece * self.piece
        return max(self.edge(first), start), min(max(self.edge(first + self.piece), start), stop)

    @property
    def boxes(self) -> int:
        """Boxes in a segment; those of the last one may be empty."""
        items = -(-min(self.segment, self.length) // self.item)
        return -(-items // self.box)

    def box_span(self, segment: int, box: int) -> Span:
        start, stop = self.segment_span(segment)
        reach = self.box * self.item
        return min(start + box * reach, stop), min(start + (box + 1) * reach, stop)

    # -- halos -----------------------------------------------------------------------------------------------------

    @property
    def halo(self) -> int:
        """Positions of both sides."""
        return self.before + self.after

    @property
    def wraps(self) -> bool:
        return self.halo > 0 and self.boundary == "Periodic"

    def block(self, span: Span) -> Span:
        """The positions that a function is given for those of a chunk, some of them beyond the ends."""
        start, stop = span[0] - self.before, span[1] + self.after
        return (max(start, 0), min(stop, self.length)) if self.boundary == "None" else (start, stop)

    def frame(self, span: Span) -> Span:
        """The positions that are sent for those of a box. What is beyond the ends is made out of them, unless it is
        the other end."""
        if span[0] >= span[1]:
            return span
        start, stop = span[0] - self.before, span[1] + self.after
        return (start, stop) if self.wraps else (max(start, 0), min(stop, self.length))

    def images(self, segment: int, span: Span) -> list[tuple[int, Span, int]]:
        """Where positions of a segment are sent: the number of a box, which of them go there, and by how much they are
        moved."""
        out: list[tuple[int, Span, int]] = []
        start, stop = self.segment_span(segment)
        reach = self.box * self.item
        last = min(self.boxes, -(-(stop - start) // reach)) - 1
        for shift in (-self.length, 0, self.length) if self.wraps else (0,):
            moved = span[0] + shift, span[1] + shift
            first_box = max((moved[0] - self.after - start) // reach, 0)
            last_box = min((moved[1] - 1 + self.before - start) // reach, last)
            for box in range(first_box, last_box + 1):
                frame = self.frame(self.box_span(segment, box))
                low, high = max(moved[0], frame[0]), min(moved[1], frame[1])
                if low < high:
                    out.append((box, (low - shift, high - shift), shift))
        return out


def shared_cut(axis: Axis) -> int:
    """The length of the finest segments, at whose ends both a chunk and an object end, and over which no halo
    reaches."""
    if axis.step != 1 or axis.halo or axis.start % axis.chunk:
        return max(axis.length, 1)
    return min(math.lcm(axis.chunk, axis.item), max(axis.length, 1))


# -- several dimensions ----------------------------------------------------------------------------------------------


def unravel(number: int, counts: Sequence[int]) -> Index:
    """The index of the number-th cell of a grid, the last dimension running fastest."""
    out: list[int] = []
    for count in reversed(counts):
        number, at = divmod(number, count)
        out.append(at)
    return tuple(reversed(out))


def ravel(index: Sequence[int], counts: Sequence[int]) -> int:
    number = 0
    for at, count in zip(index, counts, strict=True):
        number = number * count + at
    return number


def indices(ranges: Sequence[range]) -> Iterator[Index]:
    """Every index of a block of cells, the last dimension running fastest."""
    return product(*ranges)


def elements(box: Box) -> int:
    """Elements of a box that is not empty."""
    return math.prod(stop - start for start, stop in box)


def shape_of(box: Box) -> Index:
    return tuple(stop - start for start, stop in box)


def told(lengths: Sequence[int]) -> str:
    """For people: 3 x 1,000."""
    return " x ".join(f"{length:,}" for length in lengths)


def meet(one: Box, other: Box) -> Box:
    """The intersection of two boxes. If it is empty, some span has a stop that is not above its start."""
    return tuple((max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(one, other, strict=True))


def inside(box: Box, frame: Box) -> tuple[slice | EllipsisType, ...]:
    """The index of a box in an array that holds `frame`. An array without dimensions stays an array."""
    return (..., *(slice(a - f, b - f) for (a, b), (f, _) in zip(box, frame, strict=True)))


def parts(axes: Sequence[Axis]) -> int:
    return math.prod(axis.segments for axis in axes)


def pieces(axes: Sequence[Axis]) -> int:
    """Pieces of one part."""
    return math.prod(axis.pieces for axis in axes)


def boxes(axes: Sequence[Axis]) -> int:
    """Boxes of one part."""
    return math.prod(axis.boxes for axis in axes)


def part_index(axes: Sequence[Axis], part: int) -> Index:
    return unravel(part, [axis.segments for axis in axes])


def piece_box(axes: Sequence[Axis], part: int, piece: int) -> Box:
    at = part_index(axes, part)
    which = unravel(piece, [axis.pieces for axis in axes])
    return tuple(axis.piece_span(s, p) for axis, s, p in zip(axes, at, which, strict=True))


def bucket_box(axes: Sequence[Axis], part: int, box: int) -> Box:
    at = part_index(axes, part)
    which = unravel(box, [axis.boxes for axis in axes])
    return tuple(axis.box_span(s, b) for axis, s, b in zip(axes, at, which, strict=True))


class Delivery(NamedTuple):
    """A box that a piece, or some of it, is sent to."""

    box: int
    """Its number in its part."""
    source: Box
    """What of the piece is sent."""
    shift: Index
    """By how much it is moved in each dimension: 0, but for images."""


def targets(axes: Sequence[Axis], part: int, piece: Box) -> Iterator[Delivery]:
    """The boxes of a part whose frames overlap a piece."""
    at = part_index(axes, part)
    counts = [axis.boxes for axis in axes]
    found = [axis.images(s, span) for axis, s, span in zip(axes, at, piece, strict=True)]
    for each in product(*found):
        yield Delivery(
            ravel([b for b, _, _ in each], counts), tuple(s for _, s, _ in each), tuple(m for _, _, m in each)
        )


def frame_box(axes: Sequence[Axis], box: Box) -> Box:
    """What is sent for a box: itself and the halos of its outermost blocks."""
    return tuple(axis.frame(span) for axis, span in zip(axes, box, strict=True))


def frame_elements(axes: Sequence[Axis]) -> int:
    """Elements of all frames together: what is sent."""
    total = 1
    for axis in axes:
        spans = [axis.box_span(segment, box) for segment in range(axis.segments) for box in range(axis.boxes)]
        total *= sum(stop - start for start, stop in map(axis.frame, spans) if start < stop)
    return total


def moved(box: Box, shift: Sequence[int]) -> Box:
    return tuple((start + by, stop + by) for (start, stop), by in zip(box, shift, strict=True))


def shared(one: Box, other: Box) -> int:
    """Elements that two boxes share."""
    return math.prod(max(stop - start, 0) for start, stop in meet(one, other))


def items_of(axes: Sequence[Axis], box: Box) -> Iterator[Index]:
    """The objects of a box, by their places in the output's grid."""
    return indices([axis.items_over(span) for axis, span in zip(axes, box, strict=True)])


def cut_up(box: Box, lengths: Sequence[int]) -> Iterator[Box]:
    """The box in pieces of these lengths, the last dimension running fastest; those at its ends may be shorter."""
    spans = [
        [(at, min(at + length, stop)) for at in range(start, stop, length)]
        for (start, stop), length in zip(box, lengths, strict=True)
    ]
    yield from product(*spans)


def item_count(axes: Sequence[Axis], box: Box) -> int:
    return math.prod(len(axis.items_over(span)) for axis, span in zip(axes, box, strict=True))


def item_box(axes: Sequence[Axis], item: Index) -> Box:
    """The box of an object, cut off at the end of the array."""
    return tuple(axis.item_span(at) for axis, at in zip(axes, item, strict=True))
