"""What an operation is: how rows become shards (the map side), and how shards become files (the reduce side).

An operation is pure computing: no event loop, no network; it runs in a compute thread. What travels between its two
halves are shards, whose payload only the operation understands: transfer and store see bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from shuffle_protocol.shards import Shard
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.readers.reader import Rows
from shuffle_worker.store.store import ShardSource


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


class Operation(Protocol):
    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        """wanted: the groups that rows are needed for; None for all. Rows of other groups are not serialised. index:
        the input that the split is of."""
        ...

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        """Read back the group's buckets, do the local step, and write every file of the group, empty ones too.
        Yields after each file. `memory` bounds the working set in bytes; what does not fit is spilled."""
        ...
