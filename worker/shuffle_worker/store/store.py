"""What a store is: where a worker keeps the shards of the buckets it owns until they are written.

Contract, run by the conformance suite in tests/conformance/test_stores.py:
- `append` takes all of its shards or none; once it returns they are held until `drop` or `close`;
- the bytes held in memory never exceed the budget by more than one shard; what does not fit goes to scratch, the
  largest bucket first; a job that fits writes nothing there;
- a bucket's shards come back in (split, sequence) order whatever the order of arrival, those of superseded attempts
  left out;
- every read is verified against the checksum given at append;
- calls come from several threads at once; each is atomic.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard


class StoreStats(NamedTuple):
    """Bytes."""

    held: int
    """In memory and on disk."""
    in_memory: int
    """Of these, in memory."""
    spilled: int
    """Ever written to scratch."""


class CorruptBlock(Exception):
    """A stored block does not match its checksum."""

    def __init__(self, bucket: int, shard: StoredShard) -> None:
        super().__init__(f"a stored block of bucket {bucket} (split {shard.split}, {shard.length} bytes) is corrupt")
        self.bucket = bucket
        self.shard = shard


class Store(Protocol):
    def append(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        """Blocks while it spills. Raises OSError (ENOSPC ...) where scratch fails; nothing was taken then."""
        ...

    def shards(self, bucket: int, superseded: Collection[Attempt] = ()) -> list[StoredShard]:
        """Empty for a bucket that has none. The handles are good until the bucket is dropped."""
        ...

    def shards_of(self, bucket: int, attempts: Collection[Attempt]) -> list[StoredShard]:
        """The same, of these attempts alone."""
        ...

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        """Copy the payloads one after the other into `into` and verify them. Raises CorruptBlock; OSError where scratch
        fails; LookupError where the bucket was dropped; ValueError where `into` has not their size."""
        ...

    def drop(self, buckets: Collection[int]) -> None:
        """Forget these buckets; their memory is free again at once. Absent ones are no error."""
        ...

    def stats(self) -> StoreStats: ...

    def close(self) -> None:
        """Forget everything and remove what is on scratch."""
        ...


class ShardSource(Protocol):
    """The shards of one group, as the reduce side sees them (given by the store, superseded attempts left out)."""

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
