"""Records a job's history by watching its coordinator: all that the history is made of, and nothing that grows with
the length of the job.

It reads the coordinator's state, its workers' reports and the notes that come out, and changes none of them. What it
costs is some tens of microseconds a report (docs/job-page.md has it measured). Memory: lanes (`lanes.py`), a row of
numbers for each worker, `COLUMNS` samples, `MARKS` marks, `LOSSES` losses: below 5 MiB with 1,000 workers.

An operator that takes a job over begins a new history: what happened before is not in it, and it says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from shuffle_operator.coordinator.actions import Action, Note
from shuffle_operator.coordinator.events import Tick
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.observer import Happening
from shuffle_operator.coordinator.rebuild import attempt_floor
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.history.bounded import FirstAndNewest, Largest
from shuffle_operator.history.figures import BIGGEST, LANES, MARKS, JobMark, SlowLease
from shuffle_operator.history.lanes import Lanes, memory_letter
from shuffle_operator.history.loss_costs import LossCosts, LossRecord
from shuffle_operator.history.output_sizes import OutputSizes
from shuffle_operator.history.redact import said
from shuffle_operator.history.samples import Samples
from shuffle_operator.history.transfers import Transfers
from shuffle_operator.history.workers import Slot, activity, risen, spent_between
from shuffle_protocol.measures import Spent
from shuffle_protocol.messages import Done, LeaseId, LeaseKind, Phase, Register, Sync

log = logging.getLogger("shuffle.history")


@dataclass(slots=True)
class _Finished:
    """A lease that a report says is finished, and that will count."""

    done: Done
    reads: bool
    again: bool


@dataclass(slots=True)
class RowSums:
    """Rows and bytes that the coordinator itself does not add up."""

    sent: int = 0
    sent_again: int = 0
    stored_bytes: int = 0


@dataclass(slots=True)
class HistoryRecorder:
    """Implements `Observer`. What it has is for `telling.py`."""

    lanes: Lanes = field(default_factory=Lanes)
    samples: Samples = field(default_factory=Samples)
    slots: dict[int, Slot] = field(default_factory=dict)
    marks: FirstAndNewest[JobMark] = field(default_factory=lambda: FirstAndNewest(MARKS))
    spans: FirstAndNewest[tuple[Phase, float]] = field(default_factory=lambda: FirstAndNewest(MARKS))
    """The phases that were entered, and when."""
    costs: LossCosts = field(default_factory=LossCosts)
    sizes: OutputSizes = field(default_factory=OutputSizes)
    transfers: Transfers = field(default_factory=Transfers)
    slowest: Largest[SlowLease] = field(default_factory=lambda: Largest(BIGGEST))
    sums: RowSums = field(default_factory=RowSums)
    epochs: int = 0
    """How often the epoch rose."""
    began: float | None = None
    """When the job did, on the coordinator's clock; None before that."""
    taken_over: float = 0.0
    """Seconds after its begin at which this history begins."""
    broken: str = ""
    """Why it records nothing more; "" while it does."""
    _epoch: int = -1
    _phase: Phase | None = None
    _lost: int = 0
    _tranches: int = 0
    _finished: list[_Finished] = field(default_factory=list)

    # -- Observer ----------------------------------------------------------------------------------------------------

    def before(self, state: JobState, cause: Happening, now: float) -> None:  # noqa: ARG002 - the protocol has it
        if self.broken:
            return
        try:
            self._finished = _finished(state, cause) if isinstance(cause, Sync) else []
        except Exception as error:
            self._break(error)

    def after(self, state: JobState, cause: Happening, actions: Sequence[Action], now: float) -> None:
        if self.broken:
            return
        try:
            self._follow(state, cause, actions, now)
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """No job fails because its history cannot be recorded."""
        self.broken = f"recording stopped because of a defect: {type(error).__name__}"
        log.error("a job's history cannot be recorded any further", exc_info=error)

    # -- what happened -----------------------------------------------------------------------------------------------

    def _follow(self, state: JobState, cause: Happening, actions: Sequence[Action], now: float) -> None:
        if state.started_at is None or (state.over and self._phase is state.phase):
            return  # it has not begun, or is over: idle workers that ask for news make no history
        at = self._moment(state, now)
        if isinstance(cause, Sync):
            self._reported(state, cause, at)
        if state.epoch != self._epoch or isinstance(cause, Register):
            self._members(state, actions, at)
        self._unregistered_losses(state, actions, at)
        self._entered(state, at)
        if self.lanes.make_room(at):
            self.samples.widen(self.lanes.width)
        if isinstance(cause, Tick):
            self._tick(state, at)
        if state.over or self.samples.due(at):
            self.samples.add(state, self.slots.values(), at)

    def _moment(self, state: JobState, now: float) -> float:
        """Seconds since the job began."""
        assert state.started_at is not None
        if self.began is None or not self.slots:  # until there is a worker the begin may yet be moved
            self.began = state.started_at
            if state.generation:
                self.taken_over = self.taken_over or now - state.started_at
        return max(0.0, now - self.began)

    def _reported(self, state: JobState, message: Sync, at: float) -> None:
        slot = self.slots.get(message.worker)
        live = state.members.get(message.worker)
        if slot is None or slot.incarnation != message.incarnation or live is None:
            return
        again = slot.again
        seconds = slot.report(message.counters, at, survived=state.generation > 0)
        slot.waiting = message.waiting_reason
        slot.state = "leaving" if live.leaving else "there"
        memory = memory_letter(slot.resident, slot.budget)
        self.lanes.paint(slot.worker, at, seconds, again=again, memory=memory)
        if message.received is not None:
            self.transfers.report(slot.worker, slot.incarnation, message.received)
        for finished in self._finished:
            self._count(slot, finished, at)
        self._holding(state, slot, at)

    def _count(self, slot: Slot, finished: _Finished, at: float) -> None:
        done = finished.done
        slot.leases += 1
        lease, took = done.id, risen(0.0, done.seconds)
        spent = structs.replace(done.spent or Spent(), held=took)
        parts = activity(spent_between(Spent(), spent, took))
        start = round(max(0.0, at - took), 2)
        slow = SlowLease(lease.kind, lease.item, lease.attempt, slot.worker, start, round(took, 2), parts)
        self.slowest.add(took, slow)
        if lease.kind is LeaseKind.TRANSFER:
            slot.rows_read += max(0, done.rows_read) if finished.reads else 0
            slot.bytes_sent += done.bytes_moved
            self.sums.sent += 0 if finished.again else done.rows_moved
            self.sums.sent_again += done.rows_moved if finished.again else 0
            self.costs.transferred(done, reads=finished.reads, again=finished.again)
        elif lease.kind is LeaseKind.WRITE:
            slot.bytes_written += done.bytes_written
            self.sums.stored_bytes += done.bytes_moved
            self.sizes.wrote(done)

    def _holding(self, state: JobState, slot: Slot, at: float) -> None:
        """What it has in hand from now on."""
        held = slot.holding
        now_held = state.leases_of(slot.worker)
        slot.holding = {lease: held.get(lease) or (at, self._again(state, slot, lease, at)) for lease in now_held}

    def _again(self, state: JobState, slot: Slot, lease: LeaseId, at: float) -> bool:
        """Whether a lease that was just given out is work that is done again."""
        if lease.kind not in (LeaseKind.TRANSFER, LeaseKind.WRITE):
            return False
        second = lease.attempt > attempt_floor(state.generation)
        if second:
            what = "split" if lease.kind is LeaseKind.TRANSFER else "group"
            text = f"{what} {lease.item:,} is given out once more, to worker {slot.worker}"
            self.marks.add(JobMark(round(at, 2), "again", slot.worker, text))
        if second or lease.kind is LeaseKind.WRITE or state.ledger is None:
            return second
        return state.ledger.facts.rows_of.seen(lease.item)

    # -- who is there ------------------------------------------------------------------------------------------------

    def _members(self, state: JobState, actions: Sequence[Action], at: float) -> None:
        rose = state.epoch - max(self._epoch, 0) if self._epoch >= 0 else 0
        self.epochs += max(0, rose)
        self._epoch = state.epoch
        tranches = self._new_tranches(state)
        lost = False
        for slot in self.slots.values():
            live = state.members.get(slot.worker)
            if slot.incarnation and (live is None or live.incarnation != slot.incarnation):
                self._gone(state, slot, actions, at, tranches)
                tranches, lost = {}, True
        joined = 0
        for worker, live in state.members.items():
            slot = self.slots.get(worker) or self.slots.setdefault(worker, Slot(worker))
            if not slot.incarnation:
                self.lanes.absent(worker, at)
                slot.begin(live.incarnation, live.slots, live.memory, at)
                joined += 1
                if slot.processes > 1 or state.ledger is not None:
                    self.marks.add(JobMark(round(at, 2), "joined", worker, f"worker {worker} joined"))
        if tranches and state.ledger is not None:
            self.costs.moved(state.ledger.facts, tranches)
        if rose and not lost and not joined:
            self.marks.add(JobMark(round(at, 2), "epoch", -1, f"epoch {state.epoch}: groups changed their owners"))

    def _new_tranches(self, state: JobState) -> dict[int, int]:
        """Those that came since the last look, and how many groups each has."""
        if state.ledger is None:
            return {}
        facts, before = state.ledger.facts, self._tranches
        self._tranches = facts.next_tranche
        if not before:
            return {}
        return {n: tranche.groups for n, tranche in facts.tranches.items() if n >= before}

    def _gone(
        self, state: JobState, slot: Slot, actions: Sequence[Action], at: float, tranches: dict[int, int]
    ) -> None:
        """The process in a slot is no longer in the job. tranches: those that became of its groups."""
        notes = [one for one in actions if isinstance(one, Note) and one.message.startswith(f"worker {slot.worker} ")]
        left = any(note.reason == "WorkerLeft" for note in notes) or state.over
        text = notes[0].message if notes else f"worker {slot.worker} left"
        self.marks.add(JobMark(round(at, 2), "left" if left else "loss", slot.worker, said(text)[:1000]))
        if not left:
            self._lost = state.losses.failures + state.losses.disruptions
            cause = state.last_failure
            why = cause.message if cause is not None and cause.worker == slot.worker else text
            fault = cause is not None and cause.reason == "WorkerFailed"
            thrown_away = sum(at - since for since, _ in slot.holding.values())
            self.costs.lost(LossRecord(at, slot.worker, why, fault, len(slot.holding), thrown_away), tranches)
        slot.end("left" if left else "lost")
        self.lanes.gone(slot.worker)

    def _unregistered_losses(self, state: JobState, actions: Sequence[Action], at: float) -> None:
        """Workers that were lost before they registered, or while no operator was there."""
        counted = state.losses.failures + state.losses.disruptions
        if counted <= self._lost:
            return
        self._lost = counted
        cause = state.last_failure or Cause("WorkerLost", "")
        notes = [one.message for one in actions if isinstance(one, Note) and one.reason == "WorkerLost"]
        text = notes[0] if notes else f"worker {cause.worker} was lost before it had begun: {cause.message}"
        self.marks.add(JobMark(round(at, 2), "loss", cause.worker, said(text)[:1000]))
        fault = cause.reason == "WorkerFailed"
        self.costs.lost(LossRecord(at, cause.worker, cause.message, fault, leases=0, seconds_lost=0.0), {})

    # -- phases and time ---------------------------------------------------------------------------------------------

    def _entered(self, state: JobState, at: float) -> None:
        if state.phase is self._phase:
            return
        self._phase = state.phase
        self.spans.add((state.phase, round(at, 2)))
        if state.phase is Phase.FAILED and state.cause is not None:
            text = f"{state.cause.reason}: {said(state.cause.message)}"[:1000]
            self.marks.add(JobMark(round(at, 2), "failed", -1, text))
        elif len(list(self.spans)) > 1:
            self.marks.add(JobMark(round(at, 2), "phase", -1, str(state.phase)))
        if state.over:
            for slot in self.slots.values():
                if slot.incarnation:
                    slot.state = "left"

    def _tick(self, state: JobState, at: float) -> None:
        if state.ledger is not None:
            self.costs.follow(state.ledger.facts, at)
        for slot in self.slots.values():
            if not slot.incarnation:
                self.lanes.absent(slot.worker, at)
        for worker in state.starting:
            if worker < LANES and worker not in self.slots:
                self.slots[worker] = Slot(worker)


def _finished(state: JobState, message: Sync) -> list[_Finished]:
    """The leases that a report finishes and that will count; each counts once, however often it is reported."""
    live, found = state.members.get(message.worker), []
    if live is None or live.incarnation != message.incarnation:
        return []
    for done in message.done:
        lease = done.id
        if state.job_leases.out.get(lease) == message.worker:
            found.append(_Finished(done, reads=False, again=False))
        elif state.ledger is not None and state.ledger.granting.out.get(lease) == message.worker:
            transfer = lease.kind is LeaseKind.TRANSFER
            reads = transfer and state.ledger.granting.leases.mode(lease).reads
            again = transfer and (not reads or state.ledger.facts.rows_of.seen(lease.item))
            found.append(_Finished(done, reads, again))
    return found
