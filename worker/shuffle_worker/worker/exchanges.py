"""Which exchange a job's shards go through, by its plan's method, and what a process has on scratch for it."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from shuffle_protocol.jobs import Job, Rechunk
from shuffle_protocol.memory import SMALLEST_FRAME, Budgets
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.output.names import shards_folder
from shuffle_worker.plan.method import OBJECTS
from shuffle_worker.runtime.settings import WorkerConfig
from shuffle_worker.storage import Storages
from shuffle_worker.store.retained import RetainedShards
from shuffle_worker.store.spill import SpillLog
from shuffle_worker.store.spillstore import SpillStore
from shuffle_worker.store.store import StoreStats
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.exchange import Exchange, GroupMap
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.object_exchange import ObjectExchange
from shuffle_worker.transfer.objects import ShardFiles
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import PeerTransport


@dataclass(slots=True)
class Exchanges:
    """Opens the exchange of one process; `compute` and `aside` as in `agent.Agent`."""

    config: WorkerConfig
    budgets: Budgets
    scratch: Path
    storages: Storages
    membership: Membership
    inbox: Inbox
    peers: PeerTransport
    send_budget: ByteBudget
    compute: Run
    aside: Run
    _store: SpillStore | None = None
    _held: ExitStack = field(default_factory=ExitStack)

    def open(self, job: Job, summary: PlanSummary, groups: GroupMap) -> Exchange:
        """Called as soon as the plan is loaded."""
        if summary.method == OBJECTS:
            return ObjectExchange(self._files(job, summary, groups), self.compute)
        budgets = self.budgets.for_job(summary.reading, summary.writing)
        arrays = isinstance(job.operation, Rechunk)
        log = SpillLog(self.scratch, past=arrays)  # its writes read ahead themselves
        store = self._store = SpillStore(budgets.store, self.scratch, groups.buckets(), log=log)
        self._held.callback(store.close)
        retained: RetainedShards | None = None
        if job.retain_shards:
            share = summary.scratch_needed // max(1, job.workers)
            room = room_to_keep(self.scratch, self.config, share)
            retained = RetainedShards(SpillLog(self.scratch), room, groups.group_of)
            self._held.callback(retained.close)
        send = self.send_budget
        if arrays:
            send.limit = budgets.send // 2
        frame = min(budgets.frame, max(SMALLEST_FRAME, send.limit // 6))
        sender = Sender(self.config.job, self.membership, groups, self.inbox, self.peers, send, frame)
        beside_writes = frame if budgets.writing > budgets.reading else 0
        return PeerExchange(sender, store, self.aside, retained, beside_writes)

    def _files(self, job: Job, summary: PlanSummary, groups: GroupMap) -> ShardFiles:
        """They may have the memory that a store would take."""
        return ShardFiles(
            self.storages.of(job.output.path, job.output.storage),
            shards_folder(job.output.path, job.uid),
            len(summary.split_bytes),
            groups.buckets(),
            hold=max(self.budgets.send, self.budgets.store // 2),
            index=self.budgets.store // 4,
        )

    def stats(self) -> StoreStats:
        return self._store.stats() if self._store is not None else StoreStats(0, 0, 0)

    def close(self) -> None:
        self._held.close()


def room_to_keep(scratch: Path, config: WorkerConfig, spilled: int) -> int:
    """Bytes of scratch for shards that were sent: half of what the workers of this disk leave free when all has been
    spilled that is expected to be. The other half is for estimates that were wrong, and for sorting."""
    free = shutil.disk_usage(scratch).free // max(1, config.scratch_share)
    if config.scratch_limit:
        free = min(free, config.scratch_limit)
    return max(0, (free - spilled) // 2)
