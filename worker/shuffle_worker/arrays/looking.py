"""Which chunks of an array are in storage.

Lists them if there are not too many. Then it is known which are missing, and a chunk that vanishes or changes before it
is read is noticed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shuffle_protocol.errors import Internal
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import Coding
from shuffle_worker.arrays.record import tag_digest
from shuffle_worker.arrays.source import ArraySource
from shuffle_worker.arrays.store import Codecs
from shuffle_worker.storage import Storage, urls

MOST_LISTED = 100_000
"""The most files, of all arrays together, that are listed."""


class Look(NamedTuple):
    """What a listing shows of an array."""

    files: int
    size: int
    """`files`, `size`: number and bytes of the files that are there."""
    present: bytes | None
    tags: bytes | None
    """`present`, `tags`: as in the plan."""


def looked_at(storage: Storage, folder: str, arrays: Sequence[ArraySource]) -> list[Look]:
    """Which chunk files there are. If there may be too many to list, this is unknown and all count as present."""
    counts = [math.prod(_files(array)) for array in arrays]
    if sum(counts) > MOST_LISTED:
        return [
            Look(count, math.prod(array.shape) * array.itemsize, None, None)
            for array, count in zip(arrays, counts, strict=True)
        ]
    codecs = Codecs()
    return [_look(storage, f"{folder}/{array.path}".rstrip("/"), array, codecs) for array in arrays]


def _files(array: ArraySource) -> list[int]:
    return [-(-size // each) for size, each in zip(array.shape, array.shards or array.chunks, strict=True)]


def _look(storage: Storage, folder: str, array: ArraySource, codecs: Codecs) -> Look:
    coding = Coding(json.dumps(array.document).encode(), codecs)
    counts = _files(array)
    there = {_below(info.path, folder): info for info in storage.listing(folder)}
    bits = np.zeros(math.prod(counts), np.bool_)
    tags = np.zeros(len(bits), "<u4")
    size = 0
    for number in range(len(bits)):
        found = there.get(coding.key(grid.unravel(number, counts)))
        if found is not None:
            bits[number] = True
            tags[number] = tag_digest(found.tag)
            size += found.size
    return Look(int(bits.sum()), size, np.packbits(bits, bitorder="little").tobytes(), tags.tobytes())


def _below(path: str, folder: str) -> str:
    """The key of a listed file. A listing may spell the folder differently."""
    bare = folder.partition("://")[2] or urls.local_path(folder)
    at = path.find(bare + "/")
    if at < 0:  # every chunk would count as missing
        raise Internal(f"{path}: was listed below {folder}, but is not there by its name")
    return path[at + len(bare) + 1 :]
