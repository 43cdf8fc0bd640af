"""Group numbers by the order of the keys' hash, for whole numbers that are nearly all different.

Where keys repeat seldom, Arrow's table of them (`codes.py`) lies outside the cache, and every row waits for it. Sorting
the hashes instead takes two thirds of the time, and leaves groups in the order of their hash, which is that of an
output file. The numbers are exact all the same: every row's key is compared with that of its group in the end.

Memory: 50 bytes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, Array, Bools
from shuffle_worker.partitioning.codes import dense, integers
from shuffle_worker.partitioning.hash import hash_rows

GLANCE = 1 << 11
"""Rows whose keys are counted to see whether there are many."""

MANY = 0.5
"""Different keys for each of these rows from which on sorting is quicker."""


class Numbered(NamedTuple):
    """The groups of some rows."""

    codes: I64
    """Of every row."""
    fresh: I64
    """The first row of each group that was not known, in the order of their numbers, which is that of their hashes."""


def numbered(columns: Sequence[Array], known: int) -> Numbered | None:
    """columns: of the keys. known: so many rows at the beginning have a key each that is its own, and keep their row's
    number as that of their group; new groups get the numbers after these. None where another way is better: for keys
    that are no whole numbers, have nulls, or repeat often."""
    rows = len(columns[0])
    if rows - known < GLANCE or not all(_whole(column) for column in columns):
        return None
    if dense([column.slice(known, GLANCE) for column in columns])[1] < MANY * GLANCE:
        return None
    order, changes = _sorted(columns, rows)
    firsts = order[np.flatnonzero(changes)]
    changes[0] = False
    groups = changes.astype(np.int64)  # to add up booleans takes three times as long
    np.cumsum(groups, out=groups)
    fresh = firsts
    if known:
        new = firsts >= known
        fresh = firsts[new]
        groups = np.where(new, known - 1 + np.cumsum(new), firsts).take(groups)
    codes = np.empty(rows, np.int64)
    codes[order] = groups
    if not all(_same(integers(column), codes, fresh, known) for column in columns):
        return None  # some have one hash, or as many bits of it as were sorted by
    return Numbered(codes, fresh)


def _whole(column: Array) -> bool:
    kind = column.type
    temporal = pa.types.is_temporal(kind) and not pa.types.is_interval(kind)
    return (pa.types.is_integer(kind) or temporal) and not column.null_count


def _sorted(columns: Sequence[Array], rows: int) -> tuple[I64, Bools]:
    """The rows by (hash, row), and which of them have another hash than the one before. One sort of words that have the
    row in their lowest bits, and as much of the hash as there is room for in the others: all but its last few bits."""
    words = hash_rows(columns)
    least = words.min()
    words -= least
    words <<= np.uint64(64 - max(int(words.max()).bit_length(), 1))
    below = np.uint64(max((rows - 1).bit_length(), 1))
    words >>= below
    words <<= below
    words |= np.arange(rows, dtype=np.uint64)
    words.sort()
    order = (words & ((np.uint64(1) << below) - np.uint64(1))).view(np.int64)
    words >>= below
    changes = np.empty(rows, np.bool_)
    changes[0] = True
    np.not_equal(words[1:], words[:-1], out=changes[1:])
    return order, changes


def _same(keys: I64, codes: I64, fresh: I64, known: int) -> bool:
    """Whether every row has the key of its group."""
    of_groups = keys[fresh]
    if known:
        of_groups = np.concatenate([keys[:known], of_groups])
    return np.array_equal(of_groups.take(codes), keys)
