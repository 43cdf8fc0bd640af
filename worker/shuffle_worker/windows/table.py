"""The one table of window functions: how each is written, what it takes and gives, and what carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import pyarrow as pa

from shuffle_worker.aggregation.results import sum_type
from shuffle_worker.columns.kinds import is_extension, is_number, values_of
from shuffle_worker.columns.schema import transport_type
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.partitioning.order import can_order
from shuffle_worker.windows import numbering, picks
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import Count
from shuffle_worker.windows.distances import Distance
from shuffle_worker.windows.extremes import FrameExtreme
from shuffle_worker.windows.functions import Make
from shuffle_worker.windows.numbering import Numbering
from shuffle_worker.windows.picks import PickedValue
from shuffle_worker.windows.sessions import Session
from shuffle_worker.windows.totals import total

MOST = 1 << 53
"""Rows that a function may count."""


class CallArguments(Protocol):
    """The arguments of a call, as its builder asks for them. Raises NotThatType."""

    ignore_nulls: bool

    @property
    def count(self) -> int: ...

    def declared(self, at: int) -> pa.DataType:
        """The type of an argument that varies."""
        ...

    def number(self, at: int, name: str, least: int) -> int:
        """A whole number, the same for every row."""
        ...

    def with_default(self, at: int) -> pa.DataType:
        """The type in which the first argument and this one, its default, are taken together."""
        ...

    def gap(self, at: int) -> tuple[Distance, bool]:
        """A distance in the column of the order, which must be the first argument; whether it runs down."""
        ...

    def said(self, at: int) -> str:
        """An argument, as it was written."""
        ...


class Built(NamedTuple):
    kind: pa.DataType
    """The type of the result, as it is declared."""
    make: Make
    varying: int = 1
    """How many of the arguments vary from row to row, the first ones."""


class WindowFunction(NamedTuple):
    signature: str
    least: int
    """Arguments."""
    most: int
    says: str
    build: Callable[[CallArguments], Built]
    framed: bool = False
    ordered: bool = False
    """It needs orderBy."""
    peers: bool = False
    """It asks for the peers of a row."""
    skips_nulls: bool = False
    """IGNORE NULLS may be said."""


def _numbering(numbers: Callable[[Block], pa.Array], kind: pa.DataType) -> Callable[[CallArguments], Built]:  # type: ignore[type-arg]
    return lambda _: Built(kind, lambda _space: Numbering(numbers), 0)


def _ntile(taken: CallArguments) -> Built:
    parts = taken.number(0, "the number of parts", 1)
    return Built(pa.int64(), lambda _: Numbering(numbering.ntile(parts)), 0)


def _neighbour(chosen: Callable[[int], picks.Chosen]) -> Callable[[CallArguments], Built]:
    def build(taken: CallArguments) -> Built:
        offset = taken.number(1, "the number of rows", 0) if taken.count > 1 else 1
        default = taken.count > 2
        kind = taken.with_default(2) if default else taken.declared(0)
        return _pick(taken, kind, chosen(offset), default=default)

    return build


def _end(chosen: picks.Chosen) -> Callable[[CallArguments], Built]:
    return lambda taken: _pick(taken, taken.declared(0), chosen)


def _nth(taken: CallArguments) -> Built:
    return _pick(taken, taken.declared(0), picks.nth(taken.number(1, "the number of the row", 1)))


def _pick(taken: CallArguments, kind: pa.DataType, chosen: picks.Chosen, *, default: bool = False) -> Built:
    travels, ignore = transport_type(kind), taken.ignore_nulls
    return Built(
        kind,
        lambda space: PickedValue(space, travels, chosen, ignore_nulls=ignore, default=default),
        2 if default else 1,
    )


def _count(taken: CallArguments) -> Built:
    if taken.count:
        taken.declared(0)
    return Built(pa.int64(), Count, taken.count)


def _total(name: str, *, mean: bool) -> Callable[[CallArguments], Built]:
    def build(taken: CallArguments) -> Built:
        declared = taken.declared(0)
        kind = transport_type(declared)
        fits = is_number(kind) or pa.types.is_boolean(kind) or (pa.types.is_duration(kind) and not mean)
        if is_extension(values_of(declared)) or not fits:
            more = " and booleans" if mean else ", booleans and durations"
            raise NotThatType(f"{name} takes numbers{more}, {taken.said(0)} is {declared}")
        return Built(pa.float64() if mean else sum_type(declared), lambda space: total(space, kind, mean=mean))

    return build


def _extreme(name: str, *, largest: bool) -> Callable[[CallArguments], Built]:
    def build(taken: CallArguments) -> Built:
        declared = taken.declared(0)
        if not can_order(declared):
            raise NotThatType(f"{name} takes numbers, text, bytes, times and booleans, {taken.said(0)} is {declared}")
        kind = transport_type(declared)
        return Built(declared, lambda space: FrameExtreme(space, kind, largest=largest))

    return build


def _session(taken: CallArguments) -> Built:
    gap, descending = taken.gap(1)
    return Built(pa.int64(), lambda space: Session(space, gap, descending))


_F = WindowFunction

WINDOW_FUNCTIONS: dict[str, WindowFunction] = {
    "row_number": _F(
        "row_number()", 0, 0, "The number of the row: 1, 2, ...", _numbering(numbering.row_number, pa.int64())
    ),
    "rank": _F(
        "rank()",
        0,
        0,
        "The number of the first of its peers.",
        _numbering(numbering.rank, pa.int64()),
        ordered=True,
        peers=True,
    ),
    "dense_rank": _F(
        "dense_rank()",
        0,
        0,
        "The number of its peers: 1 for all of the first ones, 2 for all of the next.",
        _numbering(numbering.dense_rank, pa.int64()),
        ordered=True,
        peers=True,
    ),
    "percent_rank": _F(
        "percent_rank()",
        0,
        0,
        "(rank - 1) / (rows of the window - 1), 0 where there is one row.",
        _numbering(numbering.percent_rank, pa.float64()),
        ordered=True,
        peers=True,
    ),
    "cume_dist": _F(
        "cume_dist()",
        0,
        0,
        "The share of the window's rows up to the last of its peers.",
        _numbering(numbering.cume_dist, pa.float64()),
        ordered=True,
        peers=True,
    ),
    "ntile": _F("ntile(n)", 1, 1, "In which of n parts of the window the row is; the first have a row more.", _ntile),
    "lag": _F(
        "lag(x[, n[, default]])",
        1,
        3,
        "x of the n-th row before (n is 1 if not given); null, or default, where there is none.",
        _neighbour(picks.before),
        skips_nulls=True,
    ),
    "lead": _F(
        "lead(x[, n[, default]])",
        1,
        3,
        "The same of the n-th row after.",
        _neighbour(picks.after),
        skips_nulls=True,
    ),
    "first_value": _F(
        "first_value(x)", 1, 1, "x of the first row of the frame.", _end(picks.nth(1)), framed=True, skips_nulls=True
    ),
    "last_value": _F(
        "last_value(x)", 1, 1, "x of the last row of the frame.", _end(picks.last), framed=True, skips_nulls=True
    ),
    "nth_value": _F("nth_value(x, n)", 2, 2, "x of the n-th row of the frame.", _nth, framed=True, skips_nulls=True),
    "count": _F("count(*), count(x)", 0, 1, "The rows of the frame; those where x is not null.", _count, framed=True),
    "sum": _F("sum(x)", 1, 1, "The sum of the frame.", _total("SUM", mean=False), framed=True),
    "avg": _F("avg(x), mean(x)", 1, 1, "The mean of the frame.", _total("AVG", mean=True), framed=True),
    "min": _F("min(x)", 1, 1, "The smallest value of the frame.", _extreme("MIN", largest=False), framed=True),
    "max": _F("max(x)", 1, 1, "The largest value of the frame.", _extreme("MAX", largest=True), framed=True),
    "session": _F(
        "session(ts, gap)",
        2,
        2,
        "The number of the row's session; one begins where ts is more than gap after the row before.",
        _session,
        ordered=True,
    ),
}
WINDOW_FUNCTIONS["mean"] = WINDOW_FUNCTIONS["avg"]
