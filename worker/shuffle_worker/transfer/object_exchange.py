"""The exchange of `method: ObjectStore`: a transfer writes files to the staging folder, a write reads ranges of them.

Every worker can read the files, so no owner must be reached, a lost worker costs its unfinished leases alone, and
nothing is sent again. `objects.py` has the files.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shuffle_protocol.messages import Attempt, Lease
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.exchange import Absent, Condition, Sent
from shuffle_worker.transfer.objects import ShardFiles, ShardWriter
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.threads import Run, to_its_end


class ObjectOutgoing:
    """Implements `exchange.Outgoing` for all groups, whatever their owner."""

    groups = None
    drains = False

    def __init__(self, writer: ShardWriter, compute: Run) -> None:
        self._writer = writer
        self._compute = compute
        self._finished = False

    async def put(self, shards: Sequence[Shard]) -> None:
        await to_its_end(self._compute(self._writer.add, shards))

    async def resend(self) -> int:
        raise Absent("shards that went by way of object storage are not sent again: they are in the staging folder")

    async def finish(self, rows: int) -> Sent:  # noqa: ARG002 - the protocol has it
        await to_its_end(self._compute(self._writer.finish))
        self._finished = True
        return Sent(self._writer.rows, self._writer.bytes)

    async def close(self) -> None:
        if not self._finished:
            await to_its_end(self._compute(self._writer.abort))


@dataclass(slots=True)
class ObjectExchange:
    """Implements `exchange.Exchange`."""

    files: ShardFiles
    compute: Run
    """Runs the calls that write files."""

    def outgoing(self, lease: Lease) -> ObjectOutgoing:
        attempt = Attempt(lease.id.tranche, lease.id.item, lease.id.attempt)
        return ObjectOutgoing(self.files.writer(attempt), self.compute)

    @asynccontextmanager
    async def incoming(self, group: int, counted: Collection[Attempt]) -> AsyncIterator[StoredShardSource]:  # noqa: ARG002 - the same
        yield self.files.source(counted)

    async def keep_only(self, groups: Collection[int]) -> None:
        """Nothing to do: a worker holds no shards."""

    async def forget(self, groups: Collection[int]) -> None:
        """Nothing to do: a worker holds no shards, and the commit removes the files."""

    def splits_kept(self) -> list[int]:
        return []

    def make_room(self) -> int:
        return 0

    def condition(self) -> Condition:
        return Condition()
