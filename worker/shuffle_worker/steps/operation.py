"""What an operation is: how rows become shards (the map side), and how shards become files (the reduce side).

An operation is pure computing: no event loop, no network; it runs in a compute thread. What travels between its two
halves are shards, whose payload only the operation understands: transfer and store see bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from shuffle_protocol.memory import Budgets
from shuffle_protocol.shards import Shard
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Reader, Rows
from shuffle_worker.store.store import ShardSource

if TYPE_CHECKING:  # what moves bytes is to start without writers
    from shuffle_worker.steps.files import Files


class Splitter(Protocol):
    """The map side of one split. Made afresh for each lease; given every batch of the split in order, then `flush`."""

    def add(self, rows: Rows) -> list[Shard]: ...

    def flush(self) -> list[Shard]: ...


@runtime_checkable
class PieceSplitter(Protocol):
    """A splitter that may make many shards of a few rows, and gives them some at a time."""

    def pieces(self, rows: Rows) -> Iterator[list[Shard]]: ...


def in_pieces(splitter: Splitter, rows: Rows) -> Iterator[list[Shard]]:
    """The shards of some rows, as many at a time as the splitter's memory holds."""
    if isinstance(splitter, PieceSplitter):
        yield from splitter.pieces(rows)
    else:
        yield splitter.add(rows)


SPLITTER_PART, READER_PART = 6, 3
"""Of what a lease has that reads: a batch, four times over, and what the reader holds besides."""


def batch_bytes_of(budgets: Budgets) -> int:
    """Bytes of rows that a splitter may hold: it needs three times that, and the reader one batch."""
    return budgets.reading // SPLITTER_PART


class Given(NamedTuple):
    """What an operation is made with."""

    plan: Plan
    files: Files
    """Where its output files are made."""
    scratch: Path | None
    """A folder for what does not fit in memory; None for any."""
    batch_bytes: int
    """Bytes of rows that a splitter may hold; its working set is three times that."""
    function_memory: int = 0
    """Bytes for the process of a user's function, one for each lease."""
    readers: Sequence[Reader] = ()
    """Of each input, for what an operation reads by itself: the small side of a join."""


class Operation(Protocol):
    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        """wanted: the groups that rows are needed for; None for all. Rows of other groups are not serialised. index:
        the input that the split is of."""
        ...

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        """Read back the group's buckets, do the local step, and write every file of the group, empty ones too.
        Yields after each file. `memory` bounds the working set in bytes; what does not fit is spilled."""
        ...
