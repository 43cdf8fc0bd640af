"""Lists that stay short however much happens: the first and the newest, and the largest."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class FirstAndNewest(Generic[T]):
    """The first quarter of `most` items, and the newest ones."""

    def __init__(self, most: int) -> None:
        self.left_out = 0
        self._first: list[T] = []
        self._quarter = most // 4
        self._newest: deque[T] = deque(maxlen=most - most // 4)

    def add(self, item: T) -> None:
        if len(self._first) < self._quarter:
            self._first.append(item)
            return
        self.left_out += len(self._newest) == self._newest.maxlen
        self._newest.append(item)

    def __iter__(self) -> Iterator[T]:
        yield from self._first
        yield from self._newest


@dataclass(slots=True)
class Largest(Generic[T]):
    """The `most` items with the largest values."""

    most: int
    _heap: list[tuple[float, int, T]] = field(default_factory=list)
    _count: int = 0

    def add(self, value: float, item: T) -> None:
        self._count -= 1  # of equal ones the first stays
        entry = (value, self._count, item)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def __iter__(self) -> Iterator[T]:
        """The largest first."""
        return (item for _, _, item in sorted(self._heap, reverse=True))
