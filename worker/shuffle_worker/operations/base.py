"""What an operation is: how rows become shards (the map side), and how shards become files (the reduce side).

An operation is pure computing: no event loop, no network; it runs in a compute thread. What travels between its two
halves are shards, whose payload only the operation understands: transfer and store see bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from shuffle_worker.readers.base import Rows

Buffer = bytes | bytearray | memoryview


class Shard(NamedTuple):
    """Rows of one split for one bucket. checksum: xxh3-64 of the payload (its buffers one after the other).

    sequence: rises with every shard that a split emits for any bucket, in input order; (split, sequence) orders the
    shards of a bucket, and does not depend on timing."""

    bucket: int
    sequence: int
    rows: int
    checksum: int
    payload: list[Buffer]
    length: int


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


class StoredShard(NamedTuple):
    """A shard that the store holds. `handle` is the store's own."""

    split: int
    sequence: int
    rows: int
    length: int
    checksum: int
    handle: int


class ShardSource(Protocol):
    """The shards of one group, as the reduce side sees them (given by the store, void attempts left out)."""

    def shards(self, bucket: int) -> Sequence[StoredShard]:
        """In (split, sequence) order."""
        ...

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        """Copy the payloads one after the other into `into` (their lengths add up to its size) and verify each
        checksum. Raises CorruptBlock with the shard where one does not match, OSError where the disk fails."""
        ...

    def at(self, share: float) -> None:
        """The write has come so far, in parts of one, and goes on: for what takes its time when the shards are read.
        To be called several times a second. Raises where the lease was taken away."""
        ...


class FileResult(NamedTuple):
    """One output file as the manifest lists it. checksum: xxh3-64 of its bytes, hexadecimal.
    keys: for range layouts the smallest and largest key, as JSON-ready values, else None. parts: where a partition is
    not one file but one for each of its folders (`output.partitionBy`), these; what stands beside is their sum."""

    partition: int
    name: str
    rows: int
    bytes: int
    checksum: str
    keys: tuple[list[object], list[object]] | None
    parts: list[FileResult] | None = None

    @property
    def files(self) -> list[FileResult]:
        return [self] if self.parts is None else self.parts


class Operation(Protocol):
    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        """wanted: the groups that rows are needed for; None for all. Rows of other groups are not serialised. index:
        the input that the split is of."""
        ...

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        """Read back the group's buckets, do the local step, and write every file of the group, empty ones too.
        Yields after each file. `memory` bounds the working set in bytes; what does not fit is spilled."""
        ...
