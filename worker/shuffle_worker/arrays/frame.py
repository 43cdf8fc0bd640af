"""The elements that the blocks of a box need, with their halos, and the blocks cut out of them. Pure.

Beyond the ends of the array lies what each dimension's `boundary` says, dimension by dimension in their order, so that
corners are as Dask has them: of two numbers the later dimension's counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shuffle_protocol.errors import Internal
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import Array, carrier
from shuffle_worker.arrays.grid import Axis, Box
from shuffle_worker.arrays.slabs import Slab

MADE = ("None", "Periodic")
"""Boundaries beyond which nothing has to be made: there is nothing, or it was sent."""


class HaloFrame:
    """A box and the halos of its outermost blocks. Memory: one array of the frame's shape, over `whole`."""

    def __init__(self, axes: Sequence[Axis], box: Box, dtype: np.dtype[Any], whole: Array, missing: Any) -> None:
        """whole: bytes for all elements. missing: the value of those that the input does not store."""
        self._axes = axes
        self._box = grid.frame_box(axes, box)
        self._missing = missing
        count = grid.elements(self._box)
        self._elements = whole[: count * dtype.itemsize].view(dtype).reshape(grid.shape_of(self._box))
        self._left = count

    def place(self, slab: Slab) -> None:
        where = grid.inside(slab.box, self._box)
        if slab.data is None:
            self._elements[where] = self._missing
        else:
            self._elements.view(carrier(self._elements.dtype))[where] = slab.data
        self._left -= grid.elements(slab.box)

    def check(self) -> None:
        """Raises Internal unless every element came, once."""
        if self._left:
            raise Internal(f"{self._left:,} elements of a halo are missing")

    def block(self, chunk: Box) -> Array:
        """A chunk with its halo, in C order. It may share memory with the frame."""
        whole = tuple(axis.block(span) for axis, span in zip(self._axes, chunk, strict=True))
        there = grid.meet(whole, self._box)
        found = self._elements[grid.inside(there, self._box)]
        if there == whole:
            return np.ascontiguousarray(found)
        out: Array = np.empty(grid.shape_of(whole), self._elements.dtype)
        out[grid.inside(there, whole)] = found
        for at, (axis, (start, stop)) in enumerate(zip(self._axes, whole, strict=True)):
            _fill(np.moveaxis(out, at, 0), axis.boundary, max(-start, 0), max(stop - axis.length, 0))
        return out


def _fill(block: Array, boundary: str, low: int, high: int) -> None:
    """Fill the first `low` and the last `high` positions of the first dimension out of those between them."""
    if boundary in MADE:
        return
    end = len(block) - high
    if boundary == "Reflect":
        block[:low] = block[low : 2 * low][::-1]
        block[end:] = block[end - high : end][::-1]
    elif boundary == "Nearest":
        block[:low] = block[low : low + 1]
        block[end:] = block[end - 1 : end]
    else:
        value = number(boundary, block.dtype)
        block[:low] = value
        block[end:] = value


def number(text: str, dtype: np.dtype[Any]) -> Any:
    """The number of a boundary as an element. Raises ValueError if the type does not hold it exactly."""
    value = float(text) if not text.lstrip("+-").isdigit() else int(text)
    if dtype.kind not in "biufc":
        raise ValueError(f"elements of the type {dtype} are no numbers")
    with np.errstate(all="ignore"):
        try:
            found = np.array(value).astype(dtype)
        except OverflowError as error:
            raise ValueError(f"the type {dtype} does not hold it") from error
    if dtype.kind in "biu" and (value != value or int(found) != value):
        raise ValueError(f"the type {dtype} does not hold it")
    return found[()]
