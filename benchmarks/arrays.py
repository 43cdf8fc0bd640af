"""The arrays of the rechunk benchmark: made once, their elements a function of their place, so that any chunk can be
verified by itself.

| case      | from                                      | to                                               |
|-----------|-------------------------------------------|--------------------------------------------------|
| era5      | (time, latitude, longitude), a chunk a step | all of time, a small square of places          |
| transpose | a square, chunks of whole rows            | chunks of whole columns                          |
| levels    | (time, level, latitude, longitude), a chunk a step | all of time, one level, a quarter of the places |
| cube      | (512, 1024, 1024), 16 planes a chunk      | all planes, (128, 128)                           |

float32, Zarr format 2 without compression, which every engine reads: what is measured is the exchange.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

Floats = npt.NDArray[np.float32]
ITEM = 4


@dataclass(frozen=True)
class Case:
    """One array and what becomes of it."""

    name: str
    shape: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * ITEM

    @property
    def chunks(self) -> int:
        return math.prod(-(-size // each) for size, each in zip(self.shape, self.target, strict=True))


def cases(size: str) -> list[Case]:
    """small: a hundred megabytes each, to see that it works. full: what is reported. large: 4 and 8 times that."""
    if size == "small":
        return [
            Case("era5", (2190, 72, 144), (1, 72, 144), (2190, 12, 12)),
            Case("transpose", (5120, 5120), (80, 5120), (5120, 80)),
            Case("levels", (120, 8, 96, 192), (1, 8, 96, 192), (120, 1, 48, 96)),
            Case("cube", (128, 512, 512), (16, 512, 512), (128, 128, 128)),
        ]
    if size == "full":
        return [
            Case("era5", (8760, 72, 144), (1, 72, 144), (8760, 12, 12)),
            Case("transpose", (20480, 20480), (160, 20480), (20480, 160)),
            Case("levels", (240, 16, 181, 360), (1, 16, 181, 360), (240, 1, 61, 90)),
            Case("cube", (512, 1024, 1024), (16, 1024, 1024), (512, 128, 128)),
        ]
    if size == "large":
        return [
            Case("era5", (17520, 144, 288), (1, 144, 288), (17520, 12, 12)),
            Case("cube", (1024, 2048, 1024), (16, 2048, 1024), (512, 128, 128)),
        ]
    raise ValueError(f"size {size!r}: expected small, full or large")


def ensure(root: Path, case: Case) -> Path:
    """The folder of the case's array under `root`; made if it is not there."""
    folder = root / f"array-{case.name}-{'x'.join(map(str, case.shape))}"
    if folder.exists():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    array = zarr.create_array(
        partial, shape=case.shape, chunks=case.source, dtype="f4", compressors=None, zarr_format=2, overwrite=True
    )

    def write(at: tuple[int, ...]) -> None:
        place = tuple(slice(i * n, min((i + 1) * n, s)) for i, n, s in zip(at, case.source, case.shape, strict=True))
        array[place] = elements(case.shape, place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, _places(case.shape, case.source)))
    partial.rename(folder)
    return folder


def elements(shape: tuple[int, ...], place: tuple[slice, ...]) -> Floats:
    """The elements of a block: a hash of their linear index, from 0 to 1."""
    index = np.zeros((1,) * len(shape), np.uint64)
    for at, (size, span) in enumerate(zip(shape, place, strict=True)):
        line = np.arange(span.start, span.stop, dtype=np.uint64)
        index = index * np.uint64(size) + line.reshape([-1 if d == at else 1 for d in range(len(shape))])
    index *= np.uint64(0x9E3779B97F4A7C15)
    return (index >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def problems(case: Case, output: Path) -> list[str]:
    """What is wrong with an output store; nothing if every element is right and the chunks are those asked for."""
    try:
        found: Any = zarr.open_array(output, mode="r")
    except Exception as error:
        return [f"it cannot be opened: {type(error).__name__}"]
    if tuple(found.shape) != case.shape or found.dtype != np.float32:
        return [f"shape {found.shape} and type {found.dtype}"]
    out = [f"chunks {found.chunks}"] if tuple(found.chunks) != case.target else []

    def wrong_at(at: tuple[int, ...]) -> int:
        place = tuple(slice(i * n, min((i + 1) * n, s)) for i, n, s in zip(at, case.target, case.shape, strict=True))
        return int((found[place] != elements(case.shape, place)).sum())

    with ThreadPoolExecutor(2) as pool:
        wrong = sum(pool.map(wrong_at, _places(case.shape, case.target)))
    return [*out, f"{wrong:,} elements differ"] if wrong else out


def _places(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return product(*(range(-(-size // each)) for size, each in zip(shape, chunks, strict=True)))
