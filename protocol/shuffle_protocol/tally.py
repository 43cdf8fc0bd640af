"""Whether every group received exactly the rows that were sent to it, in one number for each split.

Each group has a weight, 61 bits that are as good as drawn at random. The tally of a split is the sum, over the groups
that it has rows for, of the group's weight times those rows. The tallies of all splits must add up to the sum, over the
groups, of the weight times the rows that the group received. If some group received a row too few or too many the two
differ, but for one case in 2^60 or so. A total for each pair of split and group would say no more, and there may be a
hundred million of those.

Operations that write every row that they read are checked by counting rows as well. A join or an aggregation is not:
there a row that was lost on its way shows in nothing but this.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

BITS = 61
MASK = (1 << BITS) - 1
_ALL = (1 << 64) - 1


@lru_cache(maxsize=1 << 16)
def weight(group: int) -> int:
    """Of a group: an odd number of 61 bits, by SplitMix64's mixing of the group's number. It is asked for with every
    shard, so the weights of 65,536 groups are kept: some MiB at the most."""
    x = (group + 1) * 0x9E3779B97F4A7C15 & _ALL
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _ALL
    return (x ^ x >> 31) & MASK | 1


def tally(rows: Iterable[tuple[int, int]]) -> int:
    """rows: (group, rows), a group as often as one likes."""
    return sum(weight(group) * count for group, count in rows) & MASK
