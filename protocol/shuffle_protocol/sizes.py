"""Sizes of files in classes, four to an octave: what a histogram of any number of files is made of, in few numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

FIRST, LAST = 40, 166
"""The classes of 1 KiB and of 2 TiB. All that is smaller is in the class before, all that is larger in the last."""


def size_class(size: int) -> int:
    """The number of the class that a size is in, FIRST - 1 to LAST."""
    return min(LAST, max(FIRST - 1, int(4 * math.log2(size)))) if size > 0 else FIRST - 1


def bounds(number: int) -> tuple[int, int]:
    """From which size to below which a class goes."""
    return (0 if number < FIRST else round(2 ** (number / 4))), round(2 ** ((number + 1) / 4))


def classes(sizes: Iterable[int]) -> list[tuple[int, int]]:
    """(class, how many), in order, of those that there are."""
    found: dict[int, int] = {}
    for size in sizes:
        number = size_class(size)
        found[number] = found.get(number, 0) + 1
    return sorted(found.items())


def median(found: Iterable[tuple[int, int]]) -> int:
    """About the median of what is counted in (class, how many): the middle of its class; 0 where there is none."""
    counted = sorted(found)
    half = sum(count for _, count in counted) / 2
    for number, count in counted:
        half -= count
        if half <= 0:
            low, high = bounds(number)
            return (low + high) // 2
    return 0
