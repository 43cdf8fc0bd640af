"""What a write reads from: counts the shards that it hands out, and can be revoked.

`inbox.GroupSource` reads from this worker's store, `objects.FileSource` from files in object storage.
"""

from __future__ import annotations

from collections.abc import Sequence

from shuffle_protocol.shards import StoredShard


class Revoked(Exception):
    """The lease was taken away; stop and leave nothing behind."""


class StoredShardSource:
    """Implements `store.ShardSource`. rows, bytes: handed out so far. reads: how often the write has read or reported
    progress; it rises while the write is not stuck. alone: hardly any shards come or go until the write is over."""

    def __init__(self) -> None:
        self.revoked = False
        self.alone = True
        self.reads = 0
        self._found: dict[int, list[StoredShard]] = {}
        self._taken = 0
        self._at: float | None = None

    def revoke(self) -> None:
        """Stop a write that runs in a thread: its next call raises Revoked. Called on the event loop."""
        self.revoked = True

    @property
    def share(self) -> float:
        """How far the write has come, from 0 to 1: as it reports, else by the bytes that it has read."""
        if self._at is not None:
            return self._at
        return min(self._taken / max(self.bytes, 1), 1.0)

    def at(self, share: float) -> None:
        self._unless_revoked()
        self.reads += 1
        self._at = min(max(share, 0.0), 1.0)

    @property
    def rows(self) -> int:
        return sum(shard.rows for found in self._found.values() for shard in found)

    @property
    def bytes(self) -> int:
        return sum(shard.length for found in self._found.values() for shard in found)

    def shards(self, bucket: int) -> Sequence[StoredShard]:
        self._unless_revoked()
        if bucket not in self._found:
            self._found[bucket] = self._look(bucket)
        return self._found[bucket]

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        self._unless_revoked()
        self.reads += 1
        self._read(bucket, shards, into)
        self._taken += into.nbytes

    def _unless_revoked(self) -> None:
        if self.revoked:
            raise Revoked

    def _look(self, bucket: int) -> list[StoredShard]:
        raise NotImplementedError

    def _read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        raise NotImplementedError
