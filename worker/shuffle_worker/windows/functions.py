"""What carries a window function out: rows in, in their order, and then results, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from shuffle_worker.columns.arrays import I64, Array, Bools
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.stores import Space


class Evaluator(Protocol):
    """Of one call, for some windows that are one after the other. Nothing that it is given may be changed."""

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        """Rows in their order. first: those that begin a window."""
        ...

    def result(self, block: Block, low: I64, high: I64) -> Array:
        """Of some rows, after all are in; low, high: their frames, for functions that have one. Raises DoesNotFit."""
        ...


Make = Callable[[Space], Evaluator]


class DoesNotFit(Exception):
    """A result does not fit its type. row: of the block."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row
