"""How many different keys an input may have, from the few rows that the plan looks at.

Used for the number of files, the size of row groups and `explain`; nothing fails where it is wrong. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shuffle_worker.columns.arrays import Array
from shuffle_worker.partitioning.codes import dense


class Keyed(NamedTuple):
    """Of some rows: how many there are; the runs of rows with the same key (where the input is in the order of its
    keys, the rows of a run are neighbours in all of it, and a run is one draw, not many); among the runs how many keys
    there are, how many of them once and how many twice."""

    rows: int
    runs: int
    keys: int
    once: int
    twice: int

    def expected(self, rows: float) -> float:
        """The keys of so many rows, by Chao's estimator: those never seen are once squared by two times twice."""
        if not self.rows:
            return rows
        unseen = self.once * self.once / (2 * self.twice) if self.twice else self.once * (self.once - 1) / 2
        return max(min(self.keys + unseen, rows * self.runs / self.rows), min(float(self.keys), rows))


def seen_keys(columns: Sequence[Array]) -> Keyed:
    codes, count = dense(columns)
    if not count:
        return Keyed(0, 0, 0, 0, 0)
    runs = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    often = np.bincount(runs, minlength=count)
    return Keyed(len(codes), len(runs), count, int((often == 1).sum()), int((often == 2).sum()))
