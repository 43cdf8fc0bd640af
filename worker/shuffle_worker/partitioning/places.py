"""Where a row stands in a file of an operation whose files are in the order of their keys' hash.

A join, a groupBy and a distinct must bring equal keys together, and have no order of rows to keep. So that a file does
not depend on how finely it was cut into buckets (which depends on memory), its rows are in the order of their *place*,
which the key alone decides, and rows of one place in the order of their positions in the input.

The hash of a key (64 bits, `hash.py`) says the file: file = (upper 32 bits * files) >> 32. What is left of that
multiplication, and the lower 32 bits of the hash, are the place. Within a file places rise as hashes do; and the cells
of `cells_of` for any multiple of the files are ranges of places. So the buckets of a file, written one after the other,
each in the order of places, are the file in the order of places, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shuffle_worker.columns.arrays import U64, Array
from shuffle_worker.partitioning.hash import hash_rows

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def places_of(columns: Sequence[Array], partitions: int) -> U64:
    """The place of every row in its file, from its key columns. partitions: the files of the job."""
    return places(hash_rows(columns), partitions)


def places(hashes: U64, partitions: int) -> U64:
    """The places that hashes stand for; the hashes are used up."""
    upper = hashes >> _HALF
    upper *= np.uint64(partitions)  # modulo 2**64 does no harm: what passes 2**32 is the file's number
    upper <<= _HALF
    hashes &= _LOW
    hashes |= upper
    return hashes
