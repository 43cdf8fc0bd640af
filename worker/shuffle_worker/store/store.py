"""The interface of a store, which keeps the shards of a worker's buckets until they are written.

Contract, which tests/conformance/test_stores.py runs against every store:
- `append` takes all of its shards or none, and keeps them until `drop` or `close`;
- the bytes in memory never exceed the budget by more than one shard. What does not fit goes to scratch, the largest
  bucket first; a job that fits in memory writes nothing there;
- a bucket's shards come back in (split, sequence) order whatever the order of arrival, without those of superseded
  attempts;
- every read verifies the checksums given at append;
- calls come from several threads at once, and each is atomic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard


class StoreStats(NamedTuple):
    """Bytes."""

    held: int
    """In memory and on scratch."""
    in_memory: int
    """Those of them that are in memory."""
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
        """Blocks while it spills. Raises OSError (ENOSPC ...) if scratch fails; then it has taken nothing."""
        ...

    def shards(self, bucket: int, superseded: Collection[Attempt] = ()) -> list[StoredShard]:
        """Empty for a bucket that has none. The handles are valid until the bucket is dropped."""
        ...

    def shards_of(self, bucket: int, attempts: Collection[Attempt]) -> list[StoredShard]:
        """The shards of these attempts alone."""
        ...

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        """Copy the payloads one behind the other into `into` and verify them.

        Raises CorruptBlock, OSError if scratch fails, LookupError if the bucket was dropped, ValueError if `into` has
        another size."""
        ...

    def expect(self, buckets: Collection[int]) -> None:
        """These buckets will be read soon: fetch from scratch what can be fetched meanwhile. Only a hint."""
        ...

    def drop(self, buckets: Collection[int]) -> None:
        """Forget these buckets and free their memory at once. Absent ones are no error."""
        ...

    def free(self) -> None:
        """Give back what dropped buckets had on scratch, as far as that can be done before `close`. May take a while,
        and nobody need wait for it."""
        ...

    def stats(self) -> StoreStats: ...

    def close(self) -> None:
        """Forget everything and remove what is on scratch."""
        ...


class ShardSource(Protocol):
    """The shards of one group as the reduce side sees them, without those of superseded attempts."""

    def shards(self, bucket: int) -> Sequence[StoredShard]:
        """In (split, sequence) order."""
        ...

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        """Copy the payloads one behind the other into `into`, whose size is the sum of theirs, and verify each.
        Raises CorruptBlock with the shard whose checksum does not match, OSError if the disk fails."""
        ...

    def at(self, share: float) -> None:
        """Report how far the write has come, from 0 to 1, for work that goes on after the shards are read. Call it
        several times a second. Raises if the lease was taken away."""
        ...


def rows_received(source: ShardSource, buckets: Iterable[int]) -> int:
    """Rows of all shards of a group, of those too that its operation had no need to look at."""
    return sum(shard.rows for bucket in buckets for shard in source.shards(bucket))
