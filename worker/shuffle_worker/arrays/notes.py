"""Advice on what makes a rechunk slower than it need be, for `explain` and the status. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shuffle_protocol.units import some
from shuffle_worker.arrays.grid import Axis, shared_cut
from shuffle_worker.arrays.record import ArrayPlan

WASTE = 1.5
"""`explain` mentions it if so many elements are read for each that is kept."""


NAMED = 5
"""The most arrays that a note names."""


def fill_notes(arrays: Sequence[ArrayPlan], zarr_format: int) -> list[str]:
    """A note on arrays whose missing chunks are written so that they read as before."""
    found = [array.path or "the array" for array in arrays if array.refilled]
    if not found:
        return []
    return [
        f"{some(found, NAMED)}: the fill value masks elements in format {zarr_format}, so the output has "
        "the one that masks what was masked, or none; chunks that the input does not store are written"
    ]


def notes_of(array: ArrayPlan) -> list[str]:
    """What makes the rechunk of an array slower than it need be, and what would be faster."""
    out: list[str] = []
    for dim, axis in zip(array.dims, array.axes, strict=True):
        where = f"{array.path}: {dim}" if array.path else dim
        out += _waste(where, axis)
        if array.moved:
            out += _apart(where, axis)
    return out


def _waste(where: str, axis: Axis) -> list[str]:
    """A note if whole chunks are decoded of which the selection keeps little."""
    if not axis.length:
        return []
    chunks = len({axis.chunk_of(at) for at in _probes(axis)})
    read = min(chunks * axis.chunk, axis.size)
    if read < WASTE * axis.length:
        return []
    text = f"{where}: {read / axis.length:.1f} times as much is read as is kept, as whole chunks of {axis.chunk:,} are"
    if axis.step == 1:
        start = axis.start // axis.chunk * axis.chunk
        stop = -(-(axis.start + axis.length) // axis.chunk) * axis.chunk
        return [f"{text}; {start}:{min(stop, axis.size)} would waste nothing"]
    return [f"{text}; every position of a chunk is read for every {axis.step}th one"]


def _probes(axis: Axis) -> range:
    """Positions of which at least one is in every chunk that is read."""
    return range(0, axis.length, max(axis.chunk // axis.step, 1)) if axis.length < 1 << 20 else range(0)


def _apart(where: str, axis: Axis) -> list[str]:
    """A note if chunks and objects share few boundaries, so that along the dimension everything waits for
    everything."""
    if axis.step != 1 or axis.item >= axis.length or axis.chunk >= axis.size:
        return []
    if shared_cut(axis) <= 4 * max(axis.item, axis.chunk):
        return []
    if axis.start % axis.chunk:
        return [
            f"{where}: the selection begins inside a chunk of {axis.chunk:,}, so that no output chunk begins where an "
            f"input chunk does; from {axis.start // axis.chunk * axis.chunk} on it would be cheaper"
        ]
    if axis.item >= axis.chunk:
        near = max(round(axis.item / axis.chunk), 1) * axis.chunk
    else:
        near = next(size for size in range(axis.item, 0, -1) if axis.chunk % size == 0)
    parts = -(-axis.length // max(near, axis.chunk))
    return [
        f"{where}: chunks of {axis.chunk:,} and {axis.item:,} share few boundaries, so that input chunks are cut and "
        f"much is exchanged; {near:,} would make {parts:,} independent parts"
    ]
