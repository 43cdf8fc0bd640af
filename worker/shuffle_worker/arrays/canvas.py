"""The objects of a box while they are put together out of slabs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import Array, Coding, carrier, is_variable
from shuffle_worker.arrays.record import ArrayPlan
from shuffle_worker.arrays.slabs import Slab, octets
from shuffle_worker.runtime.direct import LEAST, PAGE, pages_of


def canvas_bytes(items: int, coding: Coding) -> int:
    """Bytes of memory for so many objects."""
    return PAGE + items * _stride(coding)


def _stride(coding: Coding) -> int:
    """Bytes from the beginning of one object to that of the next: large ones begin with a page, so that the disk can
    take them as they are."""
    return pages_of(coding.item_bytes) if coding.item_bytes >= LEAST else coding.item_bytes


def from_a_page(buffer: pa.Buffer) -> Array:
    """The buffer's bytes, from where a page begins."""
    return octets(buffer)[-buffer.address % PAGE :]


class _Object:
    """frame: its place in the array. words: its elements as they are copied. filled: whether any stored elements came.
    holes: the boxes of missing ones."""

    __slots__ = ("elements", "filled", "frame", "holes", "words")

    def __init__(self, frame: grid.Box, elements: Array) -> None:
        self.frame = frame
        self.elements = elements
        self.words = elements if is_variable(elements.dtype) else elements.view(carrier(elements.dtype))
        self.filled = False
        self.holes: list[grid.Box] = []


class Canvas:
    """Each object lies in memory as it will be encoded: whole, in C order, padded beyond the end of the array.

    whole: `canvas_bytes` of memory; None for types without a fixed size. missing: the value of elements that the input
    does not store."""

    def __init__(self, array: ArrayPlan, coding: Coding, box: grid.Box, whole: pa.Buffer | None, missing: Any) -> None:
        self._axes = array.axes
        self._refilled = array.refilled
        self._missing = missing
        self._fill = coding.fill
        self._objects: dict[grid.Index, _Object] = {}
        plain = None if whole is None else from_a_page(whole)
        size, stride = coding.item_bytes, _stride(coding)
        for number, item in enumerate(grid.items_of(array.axes, box)):
            if plain is None:
                elements = np.empty(coding.shape, coding.dtype)
            else:
                elements = plain[number * stride : number * stride + size].view(coding.dtype).reshape(coding.shape)
            self._objects[item] = _Object(grid.item_box(array.axes, item), elements)

    def place(self, slab: Slab) -> None:
        for item in grid.items_of(self._axes, slab.box):
            found = self._objects[item]
            part = grid.meet(found.frame, slab.box)
            if slab.data is None:
                found.holes.append(part)
                continue
            found.filled = True
            found.words[grid.inside(part, found.frame)] = slab.data[grid.inside(part, slab.box)]

    def objects(self) -> Iterator[tuple[grid.Index, Array | None]]:
        """Every object with its elements; None if all are missing and may stay so."""
        for item, found in self._objects.items():
            if not found.filled and not self._refilled:
                yield item, None
                continue
            fill_beyond(found.elements, grid.shape_of(found.frame), self._fill)
            for hole in found.holes:
                found.elements[grid.inside(hole, found.frame)] = self._missing
            yield item, found.elements


def fill_beyond(elements: Array, shape: grid.Index, fill: Any) -> None:
    """Fill the part of an object that lies beyond the end of the array."""
    for at, (length, whole) in enumerate(zip(shape, elements.shape, strict=True)):
        if length < whole:
            elements[(slice(None),) * at + (slice(length, None),)] = fill
