"""Keys for a random order (a random permutation of all rows): 64 bits for each row, from a seed and the row's position
in the input, and nothing else.

The key of position p is `mix(p * GOLDEN + start)`: the p-th number of a counter-based generator (a SplitMix64 with the
finalizer of MurmurHash3), whose start the seed says. No state is carried from row to row, so any worker computes the
key of any row, whatever it read before and in whatever batches. For one seed no two positions have the same key.

The cells of `cells_of_keys` for any multiple of a number are ranges of that number's cells, so that an order by key
does not depend on how finely it was cut.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shuffle_worker.columns.arrays import I64, U64
from shuffle_worker.partitioning.hash import GOLDEN, mix

_BLOCK = 8192
"""Rows worked on at once: arrays of 64 KiB stay in the cache."""

_HALF = np.uint64(32)


def random_keys(positions: I64, seed: int) -> U64:
    """The key of each position, not negative."""
    start = mix(mix(np.array([seed], np.uint64)))[0]
    keys = positions.astype(np.uint64)
    for at in range(0, len(keys), _BLOCK):
        block = keys[at : at + _BLOCK]
        block *= np.uint64(GOLDEN)
        block += start
        mix(block)
    return keys


def cells_of_keys(keys: U64, cells: int) -> npt.NDArray[np.int32]:
    """The cell of each key, 0 .. cells-1: ranges of keys of one width, in their order."""
    upper = keys >> _HALF
    upper *= np.uint64(cells)
    upper >>= _HALF
    return upper.astype(np.int32)
