"""How shards get from transfers to writes: `Exchange`, with an implementation for each method.

    transfer lease   out = exchange.outgoing(lease) -> out.put(shards) ... -> out.finish -> out.close
    write lease      async with exchange.incoming(group, counted) as source: work.write(group, source)

    PeerExchange     `method: PeerToPeer`: frames to the groups' owners, who store them       peer_exchange.py
    ObjectExchange   `method: ObjectStore`: files in the staging folder, ranges of them       object_exchange.py

Contract, run by the conformance suite in tests/conformance/test_exchanges.py:
- once `finish` returns, the worker that may write a group finds what was put for it, unless the group has left all of
  the lease's tranches;
- a source has the shards of the attempts that count and no others, in (split, sequence) order, each verified. What an
  attempt put before it was closed unfinished is visible only where that attempt counts;
- `close` may follow anything, and leaves nothing reserved and nothing running;
- if a split cannot be sent again from what is here, `resend` raises Absent, and the split is read;
- a group that was written frees its memory and scratch; one whose write failed can be written again.

A worker opens the exchange of its plan's method when it has loaded the plan, and keeps it as long as the process lives.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from shuffle_protocol.messages import Attempt, Lease
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.source import StoredShardSource

UNKNOWN = -1
"""Rows of a split that was not read."""


class Incomplete(Exception):
    """By the view that is valid now, some shards of the transfer are not where they should be."""


class Absent(Exception):
    """The shards that should be sent again are not here, or are damaged."""


class GroupMap(Protocol):
    """Which buckets each group has, by the plan."""

    def buckets(self) -> int:
        """How many buckets there are in all."""
        ...

    def group_of(self, bucket: int) -> int:
        """Raises IndexError where there is no such bucket."""
        ...

    def buckets_of(self, group: int) -> range: ...


class Sent(NamedTuple):
    """What a transfer sent."""

    rows: int
    """Rows that arrived."""
    bytes: int
    """Bytes of those that left this worker."""
    kept: bool = False
    """Whether this worker can send it again."""


class Condition(NamedTuple):
    """What a worker reports of its exchange to the coordinator."""

    full: str = ""
    """Why it can store nothing more; "" while it can."""
    steps: int = 0
    """Steps that all leases have made so far; it rises while they are not stuck."""
    retained: int = 0
    """Bytes of retained shards."""
    storing: int = 0
    """Calls under way that store shards."""
    stored: int = 0
    """Calls that have stored shards."""


class Outgoing(Protocol):
    """Where the shards of one transfer lease go."""

    drains: bool
    """What was put goes its way without the threads that compute: as soon as the last step is computed, the next lease
    can begin."""

    @property
    def groups(self) -> frozenset[int] | None:
        """The groups for which the split is read; None for all."""
        ...

    async def put(self, shards: Sequence[Shard]) -> None:
        """Waits while too much is on its way. Raises the error of an earlier shard of the lease."""
        ...

    async def resend(self) -> int:
        """Instead of `put`: send the shards of the split that are here. Returns the split's rows, or UNKNOWN. Raises
        Absent if they are not here, or are damaged."""
        ...

    async def finish(self, rows: int) -> Sent:
        """Returns when everything has arrived. Raises Incomplete if the tranche needs more by now.

        rows: read from the split."""
        ...

    async def close(self) -> None:
        """Release everything, finished or not."""
        ...


class Exchange(Protocol):
    def outgoing(self, lease: Lease) -> Outgoing: ...

    def incoming(self, group: int, counted: Collection[Attempt]) -> AbstractAsyncContextManager[StoredShardSource]:
        """The shards of one group while it is written. counted: the attempts that count instead of attempt 0. When the
        block ends without an error the group is written, and its shards are no longer needed."""
        ...

    async def keep_only(self, groups: Collection[int]) -> None:
        """Keep only the shards of the groups that this worker writes or hands over."""
        ...

    async def forget(self, groups: Collection[int]) -> None:
        """These groups are written, by any worker; forget their shards."""
        ...

    def splits_kept(self) -> list[int]:
        """The splits that this worker can send again without reading them."""
        ...

    def make_room(self) -> int:
        """Drop what scratch holds and the job can do without. Returns the bytes that this frees. Any thread calls
        it."""
        ...

    def condition(self) -> Condition: ...
