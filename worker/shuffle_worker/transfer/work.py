"""What a worker can do, apart from talking: the five kinds of lease as plain blocking calls.

The agent (`agent.py`) decides when, with whom and how often; `Work` decides what the rows mean. `tables/work.py` and
`arrays/work.py` implement it, and tests/simulation over rows in memory. All calls run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from shuffle_protocol.jobs import Job
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanSummary, WrittenGroup
from shuffle_protocol.shards import Shard
from shuffle_worker.runtime.owner import Owner
from shuffle_worker.storage import Storages
from shuffle_worker.store.store import ShardSource
from shuffle_worker.transfer.exchange import GroupMap


class WorkSetup(NamedTuple):
    """What a worker's process has for the work on its job."""

    budgets: Budgets
    scratch: Path
    """A folder for what does not fit in memory."""
    scratch_share: int = 1
    """How many workers share the disk that it is on."""
    scratch_limit: int = 0
    """Bytes that this worker may take of it; 0 if only the disk limits it."""
    owner: Owner | None = None
    """The run that the work belongs to, for a run on this machine."""
    storages: Storages | None = None
    """The storages that are open in the process; None: the work opens its own."""


class Step(NamedTuple):
    """What one step of reading a split gives: shards to send, and the rows and stored bytes read for them."""

    shards: list[Shard]
    rows: int
    bytes_read: int


class Written(NamedTuple):
    """A group that was written: rows and bytes in its files, the largest file; received: the rows that it was made
    of. sizes, largest_file, key, key_share: as in `messages.Done`."""

    files: int
    rows: int
    bytes: int
    largest: int
    received: int
    sizes: Sequence[tuple[int, int]] = ()
    largest_file: str = ""
    key: str = ""
    key_share: float = 0.0
    rest: Callable[[], None] | None = None
    """What is left to be done before the group is written: it waits for the disk or the store and computes nothing, so
    that another lease may begin meanwhile. Blocks. Raises as `Work.write` does."""

    def finished(self) -> Written:
        """The same, with nothing left to be done."""
        if self.rest is not None:
            self.rest()
        return self._replace(rest=None)


class Committed(NamedTuple):
    manifest: str
    files: int
    rows: int
    bytes: int
    largest: int
    median: int


class Work(GroupMap, Protocol):
    """One worker's work on one job."""

    def plan(self, job: Job) -> PlanSummary:
        """Look at the input, decide everything, write the plan to the staging folder. Gives the same plan every time.
        Raises JobError, before it writes anything, if the job cannot be carried out."""
        ...

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        """Read the plan that a plan lease wrote. Call it before `read`, `write`, `commit` and the methods of
        `GroupMap`. Idempotent."""
        ...

    def recorded(self, job: Job, fingerprint: str) -> list[WrittenGroup]:
        """The groups that this plan has written already. Called after `plan`, perhaps on
        another worker."""
        ...

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        """wanted: groups, None for all. Each step is one bounded piece of work."""
        ...

    def write(self, group: int, source: ShardSource, *, alone: bool = True) -> Written:
        """Write the group's files and their record, but for the `rest` of what is returned. Idempotent: the same bytes
        under the same names. alone: hardly any shards come or go meanwhile, so it may have what is for these."""
        ...

    def commit(self, rows: int) -> Committed:
        """When all groups are written: reconcile with the rows read, write manifest and `_SUCCESS`. Idempotent."""
        ...

    def report(self, data: bytes) -> None:
        """After the commit: put the job's report beside its manifest. Idempotent."""
        ...

    def abort(self, job: Job) -> None:
        """Remove what the job wrote. Whole output from before stays. Idempotent."""
        ...


Choose = Callable[[Job], Work]
"""The work of a job, the same at every call. Blocks while it imports what the job needs. Raises JobError if that is not
installed."""
