"""The worker's protocol logic: register, sync, carry out leases, own groups, register again. No I/O of its own.

    register -> sync -> sync -> ...                       with the coordinator, level-triggered (see protocol/messages)
                 |- leases in, results out
                 |- views in: membership, what to drop

What a lease asks for is done in `leases.py`.

Transport, exchange, clock (the event loop's) and the work itself come as arguments: workers run it over HTTP and object
storage, the simulation over virtual time. It keeps working while the coordinator is away, and keeps knocking.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from shuffle_protocol.errors import JobError
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import (
    VERSION,
    Counters,
    Done,
    Failure,
    Lease,
    LeaseId,
    LeaseKind,
    Orders,
    Phase,
    PlanSummary,
    Register,
    Sync,
    View,
)
from shuffle_worker.store.store import CorruptBlock
from shuffle_worker.transfer.carry import Carrier
from shuffle_worker.transfer.exchange import Exchange, GroupMap
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.source import Revoked
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import ControlTransport, Orphaned, Refused, Unreachable
from shuffle_worker.transfer.work import Choose
from shuffle_worker.worker.failures import failure_of
from shuffle_worker.worker.leases import LeaseWork, Opened, Running, no_report
from shuffle_worker.worker.loading import PlanLoading
from shuffle_worker.worker.measuring import Holding, ReceivedReports

T = TypeVar("T")

log = logging.getLogger("shuffle.worker")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How often a worker reports, and how long it waits."""

    heartbeat: float = 1.0
    """Seconds between reports of a busy worker."""
    poll: float = 10.0
    """How long an idle one lets the coordinator hold its answer."""
    retry: float = 2.0
    """Longest pause between tries to reach a coordinator that is away."""
    orphaned: float = 86_400.0
    """Seconds without a word from any coordinator after which the worker ends, because it costs money."""
    loads: int = 20
    """How often loading the plan is tried where the store does not answer, `load_pause` seconds apart. Each try is
    several of the storage's own."""
    load_pause: float = 5.0


@dataclass(slots=True)
class Agent:
    """One worker in one job. `run` returns when the coordinator says stop."""

    worker: int
    incarnation: str
    address: str
    slots: int
    memory: int
    control: ControlTransport
    membership: Membership
    choose: Choose
    open_exchange: Callable[[Job, PlanSummary, GroupMap], Exchange]
    compute: Run
    """Runs the steps of leases, `slots` at a time."""
    aside: Run
    """Runs what must not wait for them: loading the plan, dropping shards."""
    finish: Run
    """Runs the rest of writes, which only waits for the disk or the store."""
    observe: Callable[[], Counters] = Counters
    received: ReceivedReports = field(default_factory=lambda: ReceivedReports(lambda: None))
    """What it took from other workers."""
    report: Callable[[], Awaitable[bytes]] = no_report
    """Has the job's report, for the commit."""
    waiting_reason: Callable[[], str] = str
    """What the process waits for; "" where nothing."""
    settings: AgentSettings = field(default_factory=AgentSettings)
    phase: Phase = Phase.PENDING
    aborting: bool = False
    """The coordinator is having the job's output removed: a worker that is to leave waits for the end of that."""
    released: bool = False
    """It was to leave, and nothing that it has is needed any more."""
    _running: dict[LeaseId, Running] = field(default_factory=dict)
    _waiting: dict[LeaseId, Lease] = field(default_factory=dict)
    _done: dict[LeaseId, Done] = field(default_factory=dict)
    _failed: dict[LeaseId, Failure] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _leaving: bool = False
    _preparing: asyncio.Future[None] | None = None
    _known_written: int = 0
    _heartbeat: float = 0.0
    _heard: float = 0.0
    _corrupt: int = 0
    _holding: Holding = field(init=False)
    _leases: LeaseWork = field(init=False)
    _loading: PlanLoading = field(init=False)

    def __post_init__(self) -> None:
        self._heartbeat = self.settings.heartbeat
        self._holding = Holding(self.slots)
        self._leases = LeaseWork(self.choose, self.compute, self.finish, self.report)
        self._loading = PlanLoading(
            self.choose, self.aside, self._is_over, self.settings.loads, self.settings.load_pause
        )

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Raises Refused where the coordinator will not have this worker, and Orphaned where there is none for long."""
        self._heard = asyncio.get_running_loop().time()
        try:
            await self._register()
            while True:
                orders = await self._sync()
                if orders is None:
                    continue
                if not orders.known and not orders.stop:
                    if self._leaving:
                        return  # its place is taken already
                    await self._register()
                    continue
                if orders.stop:
                    return
                if orders.show_view:
                    await self._register(show_view=True)
                await self._obey(orders)
                await self._pause()
        finally:
            await self._let_go()

    def leave(self) -> None:
        """The worker was asked to go: it finishes what it has begun, and hands over what it owns."""
        self._leaving = True
        self._waiting.clear()
        self._news.set()

    async def _register(self, *, show_view: bool = False) -> None:
        held = self._leases.held(self.membership.view, show=show_view)
        message = Register(VERSION, self.worker, self.incarnation, self.address, self.slots, self.memory, held)
        pause = 0.05
        while True:
            try:
                reply = await self.control.register(message)
                break
            except Unreachable as error:
                log.info("the coordinator is not there yet: %s", error)
                self._missing(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, self.settings.retry)
        if not reply.accepted or reply.job is None:
            raise Refused(reply.message)
        self._heard = asyncio.get_running_loop().time()
        log.info("registered with the coordinator", extra={"epoch": self.membership.epoch})
        self._leases.learn(reply.job)
        self._preparing = asyncio.ensure_future(self.aside(self._prepare, reply.job))
        self._heartbeat = max(self.settings.heartbeat, reply.heartbeat)

    def _prepare(self, job: Job) -> None:
        """Import what the job needs, while the plan is made. What is missing is for the leases to tell."""
        with suppress(JobError):
            self.choose(job)

    async def _sync(self) -> Orders | None:
        """One exchange. While an idle worker's call is held, news of its own ends the waiting. None: try again."""
        self._news.clear()
        self.membership.stale.clear()
        free = self._free()
        idle = free > 0 and not self._done and not self._failed
        message = self._report(free, self._patience() if idle else 0.0)
        call = asyncio.ensure_future(self.control.sync(message))
        try:
            if message.wait:
                news = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self.membership.stale.wait())]
                try:
                    await asyncio.wait([call, *news], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for waiter in news:
                        waiter.cancel()
                if not call.done():
                    return None
            orders = await call
            self._heard = asyncio.get_running_loop().time()
            return orders
        except Unreachable as error:
            log.info("the coordinator does not answer: %s", error)
            self._missing(error)
            await asyncio.sleep(self.settings.retry * random.uniform(0.25, 0.5))
            return None
        finally:
            call.cancel()

    def _missing(self, error: Unreachable) -> None:
        """No coordinator: it is waited for, but not for ever."""
        silent = asyncio.get_running_loop().time() - self._heard
        if silent > self.settings.orphaned:
            raise Orphaned(f"no coordinator has been heard of for {silent:.0f} s, so this worker ends ({error})")

    def _report(self, free: int, wait: float) -> Sync:
        return Sync(
            worker=self.worker,
            incarnation=self.incarnation,
            epoch=self.membership.epoch,
            holding=[*self._running, *self._waiting],
            done=list(self._done.values()),
            failed=list(self._failed.values()),
            counters=self._counters(),
            free=free,
            wait=wait,
            leaving=self._leaving,
            written=self._known_written,
            full=self._leases.condition().full,
            waiting_reason=self.waiting_reason(),
            received=self.received.now(self.phase),
        )

    async def _beating(self, work: Awaitable[T]) -> T:
        """Reports go on while something long holds up the loop: on a busy machine a worker must not look silent because
        it loads its plan. Their answers are ignored: they come again."""
        working = asyncio.ensure_future(work)
        while not (await asyncio.wait([working], timeout=self._heartbeat))[0]:
            with suppress(Unreachable):
                await self.control.sync(self._report(free=0, wait=0.0))
        return working.result()

    def _patience(self) -> float:
        """How long the coordinator may hold an idle worker's call; a worker that is to leave is in a hurry."""
        return min(self.settings.poll, self.settings.heartbeat / 4) if self._leaving else self.settings.poll

    def _counters(self) -> Counters:
        sources = [running.source for running in self._running.values() if running.source is not None]
        observed, condition = self.observe(), self._leases.condition()
        return msgspec.structs.replace(
            observed,
            steps=condition.steps + sum(one.reads for one in sources),
            progress=sum(one.share for one in sources),
            kept=condition.retained,
            storing=condition.storing,
            stored_calls=condition.stored,
            corrupt=observed.corrupt + self._corrupt,
            spent=msgspec.structs.replace(observed.spent, held=self._holding.note(len(self._running))),
        )

    async def _pause(self) -> None:
        """Until there is something to say: a lease ended, our view is old, or a heartbeat is due."""
        if self._free() > 0 or self._done or self._failed:
            return
        waits = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self.membership.stale.wait())]
        try:
            await asyncio.wait(waits, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waits:
                waiter.cancel()

    def _free(self) -> int:
        busy = sum(1 for r in self._running.values() if not r.draining)
        draining = len(self._running) - busy
        return max(0, min(self.slots - busy - len(self._waiting), 2 * self.slots - busy - draining))

    async def _obey(self, orders: Orders) -> None:
        self.phase = orders.phase
        self.aborting = orders.aborting
        self.released = orders.released
        for lease_id in orders.acknowledged:
            self._done.pop(lease_id, None)
            self._failed.pop(lease_id, None)
        if orders.view is not None:
            await self._take_view(orders.view)
        wanted = {lease.id: lease for lease in orders.leases}
        for lease_id, running in self._running.items():
            if lease_id not in wanted and not running.revoked:
                log.info("taken away", extra=self._about(lease_id))
                running.revoke()
        for lease_id in [x for x in self._waiting if x not in wanted]:
            del self._waiting[lease_id]
        for lease_id, lease in wanted.items():
            if lease_id in self._running or lease_id in self._done or lease_id in self._failed:
                continue
            if not self._leaving or lease.resend or lease.stored or lease_id.kind is LeaseKind.ABORT:
                self._waiting[lease_id] = lease
        if orders.written and self._leases.opened is not None:
            written = _members(orders.written)
            self._known_written = len(written)
            await self._leases.opened.exchange.forget(written)
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Start what there is a free slot for."""
        for lease_id in list(self._waiting):
            if sum(1 for r in self._running.values() if not r.draining) >= self.slots:
                return
            lease = self._waiting.pop(lease_id)
            task = asyncio.create_task(self._carry_out(lease))
            self._holding.note(len(self._running))
            self._running[lease_id] = Running(lease, task)

    async def _take_view(self, view: View) -> None:
        opened, spec = self._leases.opened, self._leases.spec
        if view.plan and (opened is None or opened.summary.fingerprint != view.plan):
            work, summary = await self._beating(self._loading.load(spec, view.plan))
            exchange = self.open_exchange(spec, summary, work)
            opened = Opened(summary, work, exchange, Carrier(exchange, work, self.compute))
            self._leases.open(opened)
        gained = self.membership.update(view)
        if gained is not None:
            self._leases.forget_transfers(gained)
            if opened is not None:
                await opened.exchange.keep_only([*self.membership.owned(), *self.membership.handed()])

    async def _is_over(self) -> bool:
        """Whether the coordinator says that this worker may end."""
        try:
            orders = await self.control.sync(self._report(free=0, wait=0.0))
        except Unreachable:
            return False
        return orders.stop

    async def _let_go(self) -> None:
        self._waiting.clear()  # or the end of one would begin another
        for running in self._running.values():
            running.revoke()
        await asyncio.gather(*(r.task for r in self._running.values()), return_exceptions=True)

    # -- leases ------------------------------------------------------------------------------------------------------

    async def _carry_out(self, lease: Lease) -> None:
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            done = await self._leases.carry_out(lease, self._running[lease.id], lambda: self._drained(lease.id))
            self._done[lease.id] = msgspec.structs.replace(done, seconds=clock() - since)
            log.info(
                "done in %.2f s: %d rows read, %d moved, %d written",
                clock() - since,
                done.rows_read,
                done.rows_moved,
                done.rows_written,
                extra=self._about(lease.id),
            )
        except (asyncio.CancelledError, Revoked):
            pass
        except BaseException as error:
            self._corrupt += isinstance(error, CorruptBlock)
            self._failed[lease.id] = failure_of(lease.id, error, self.worker, self.memory, self._about(lease.id))
        finally:
            self._holding.note(len(self._running))
            self._running.pop(lease.id, None)
            self._start_waiting()
            self._news.set()

    def _drained(self, lease: LeaseId) -> None:
        """Nothing is left of it but shards or files on their way: another lease may begin."""
        running = self._running.get(lease)
        if running is not None:
            running.draining = True
            self._start_waiting()
            self._news.set()

    def _about(self, lease: LeaseId) -> dict[str, object]:
        """For a line of the log."""
        where = f"{lease.tranche}/{lease.item}" if lease.kind is LeaseKind.TRANSFER else str(lease.item)
        return {"lease": f"{lease.kind} {where} attempt {lease.attempt}", "epoch": self.membership.epoch}


def _members(bits: bytes) -> list[int]:
    """The numbers whose bits are set, the lowest bit of the first byte being 0."""
    return [8 * i + bit for i, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1]
