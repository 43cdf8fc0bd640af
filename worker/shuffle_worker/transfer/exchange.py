"""How shards get from those who read splits to those who write groups: `Exchange`, with an implementation a method.

    transfer lease   out = exchange.outgoing(lease) -> out.put(shards) ... -> out.finish -> out.close
    write lease      async with exchange.incoming(group, counted) as source: work.write(group, source)

    PeerExchange     `method: PeerToPeer`: frames to the groups' owners, who store them       peer_exchange.py
    ObjectExchange   `method: ObjectStore`: files in the staging folder, ranges of them       object_exchange.py

Contract, run by the conformance suite in tests/conformance/test_exchanges.py:
- once `finish` returns, the worker that may write a group finds there what was put for it; not so for groups that are
  in none of the lease's tranches any more;
- a source has the shards of the attempts that count and of no others, in (split, sequence) order, each verified; what
  an attempt put before it was closed unfinished is never seen where that attempt does not count;
- `close` may follow anything, and leaves nothing reserved and nothing running;
- where a split cannot be sent again from what is here, `resend` raises Absent, and the split is read;
- a group that was written gives its memory and scratch back; one whose write failed can be written again.

An exchange is opened once its plan is loaded, for that plan's method, and lasts as long as the process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from shuffle_protocol.messages import Attempt, Lease
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.source import StoredShardSource

UNKNOWN = -1
"""Rows of a split that was not read."""


class Incomplete(Exception):
    """A transfer whose shards did not all go where they should by the view that is valid now."""


class Absent(Exception):
    """What was to be sent again is not here, or not any more, or damaged."""


class GroupMap(Protocol):
    """Which buckets a group has, by the plan."""

    def buckets(self) -> int:
        """How many there are in all."""
        ...

    def group_of(self, bucket: int) -> int:
        """Raises IndexError where there is no such bucket."""
        ...

    def buckets_of(self, group: int) -> range: ...


class Sent(NamedTuple):
    """What became of a transfer."""

    rows: int
    """That arrived."""
    bytes: int
    """Of these, what left this worker."""
    kept: bool = False
    """Whether this worker can send it again."""


class Condition(NamedTuple):
    """What the coordinator learns of an exchange."""

    full: str = ""
    """Why it can store nothing more; "" where it can."""
    steps: int = 0
    """Made so far by all leases: what shows that they are not stuck."""
    retained: int = 0
    """Bytes that are kept to be sent again."""
    storing: int = 0
    """Calls that store shards, under way."""
    stored: int = 0
    """Those that are over."""


class Outgoing(Protocol):
    """Where the shards of one transfer lease go."""

    @property
    def groups(self) -> frozenset[int] | None:
        """The groups to read the split for; None for all."""
        ...

    async def put(self, shards: Sequence[Shard]) -> None:
        """Waits while too much is on its way. Raises what an earlier shard of the lease failed with."""
        ...

    async def resend(self) -> int:
        """Instead of `put`: send what is here of the split. Returns the split's rows, UNKNOWN where nobody knows.
        Raises Absent where it is not here, or damaged."""
        ...

    async def finish(self, rows: int, drained: Callable[[], None]) -> Sent:
        """Returns when everything is there. rows: read from the split. drained: called as soon as nothing is left but
        waiting for others, so that the next lease can begin. Raises Incomplete where its tranche needs more by now."""
        ...

    async def close(self) -> None:
        """Let go of everything, finished or not."""
        ...


class Exchange(Protocol):
    def outgoing(self, lease: Lease) -> Outgoing: ...

    def incoming(self, group: int, counted: Collection[Attempt]) -> AbstractAsyncContextManager[StoredShardSource]:
        """The shards of one group, while it is written. counted: the attempts that count where it is not attempt 0.
        When the block ends without an error the group is written, and nothing more is needed for it."""
        ...

    async def keep_only(self, groups: Collection[int]) -> None:
        """These groups are this worker's to write or to hand over; it needs nothing that others have to write."""
        ...

    async def forget(self, groups: Collection[int]) -> None:
        """These groups are written, by any worker: nobody will want their shards again."""
        ...

    def splits_kept(self) -> list[int]:
        """The splits of which this worker can send again what it sent."""
        ...

    def make_room(self) -> int:
        """Throw away what scratch holds and nobody must have. Returns the bytes that it was. Called in any thread."""
        ...

    def condition(self) -> Condition: ...
