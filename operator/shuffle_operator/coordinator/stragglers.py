"""How fast workers are, and what the fast ones may take off stragglers. Judges times; changes nothing by itself.

An idle worker that finds nothing due is offered, in this order:

    work stealing         a split that waits for the one worker that could send it without reading, and that worker gets
                          nowhere
    speculative attempt   a second attempt at a transfer that takes twice as long as they usually do; the first to
                          finish counts
    rebalancing           half of the groups of an owner that will still write for long, and has them stored: they
                          migrate

The same clock finds a stuck worker: it holds a lease, answers, and makes no step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import LeaseId, LeaseKind

SAMPLES = 64
FEW = 256
"""Leases that are out while it pays to look which of them is late: the last ones decide when all are done."""


@dataclass(slots=True)
class Stragglers:
    """How long leases have been out, and what fast workers may take off slow ones."""

    since: dict[LeaseId, float] = field(default_factory=dict)
    """When each lease that is out was granted; bounded by the leases that are out."""
    last: dict[int, float] = field(default_factory=dict)  # worker -> when it last finished something
    written: dict[int, int] = field(default_factory=dict)  # worker -> groups that it has written
    _looked: float = float("-inf")
    _sought: float = float("-inf")
    _senders: list[int] = field(default_factory=list)
    _took: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def granted(self, lease: LeaseId, now: float) -> None:
        self.since[lease] = now

    def finished(self, lease: LeaseId, worker: int, now: float) -> None:
        started = self.since.pop(lease, None)
        self.last[worker] = now
        if lease.kind is LeaseKind.WRITE:
            self.written[worker] = self.written.get(worker, 0) + 1
        elif lease.kind is LeaseKind.TRANSFER and started is not None:
            self._took.append(now - started)

    def keep_only(self, out: Iterable[LeaseId]) -> None:
        """Forget leases that are no longer out."""
        kept = set(out)
        for lease in [lease for lease in self.since if lease not in kept]:
            del self.since[lease]

    def forget(self, worker: int) -> None:
        self.last.pop(worker, None)
        self.written.pop(worker, None)

    def slow(self, settings: Settings) -> float:
        """Seconds after which a transfer counts as slow."""
        return max(settings.speculate_after, 2 * median(self._took) if self._took else 0.0)

    def to_speculate(self, ledger: Ledger, worker: int, settings: Settings, now: float) -> LeaseId | None:
        """The transfer that has been out the longest with another worker, if that is long and few are left."""
        out = ledger.granting.out
        if len(out) > FEW:
            return None
        late = [
            (self.since.get(lease, now), lease)
            for lease, holder in out.items()
            if lease.kind is LeaseKind.TRANSFER and holder != worker
        ]
        since, lease = min(late, default=(now, None))
        return lease if now - since > self.slow(settings) else None

    def to_steal(self, ledger: Ledger, worker: int, settings: Settings, now: float) -> int | None:
        """A worker for which splits wait, and which has finished nothing for long."""
        if now - self._sought >= min(1.0, settings.speculate_after / 4):
            self._sought = now  # asked by every idle worker, and it goes through all that hold something
            self._senders = ledger.routing.waited_for()
        for sender in self._senders:
            if sender == worker:
                continue
            if now - self.last.setdefault(sender, now) > self.slow(settings):
                return sender
        return None

    def to_rebalance(
        self, ledger: Ledger, barrier_at: float, members: Mapping[int, Live], to: int, settings: Settings, now: float
    ) -> list[int]:
        """Half of the groups of the other owner that will be writing longest, if that is worth it: those it comes to
        last. barrier_at: later by what was waited for the store since."""
        facts, worst = ledger.facts, list[int]()
        longest = max(settings.rebalance_after, settings.rebalance_split * facts.splits)
        if now - self._looked < min(1.0, longest):
            return []  # asked by every idle worker, and it goes through all groups
        self._looked = now
        for worker, live in members.items():
            if worker == to or not live.able:
                continue
            waiting = facts.waiting_of(worker)
            if len(waiting) < 2 or ledger.routing.hands_over(worker):
                continue
            ready = [g for g in waiting if facts.tranches[facts.tranche[g]].remaining == 0]
            each = (now - barrier_at) / max(1, self.written.get(worker, 0))
            if len(ready) >= 2 and each * len(ready) > longest:
                worst, longest = ready, each * len(ready)
        return worst[-(len(worst) // 2) :] if worst else []

    def stuck(self, live: Live, settings: Settings, now: float) -> str:
        """Why it is of no use, "" where it is: it holds a lease and has made no step for too long, or others wait for
        it to store what they sent, or to learn what it owns. To be asked at each of its reports. A worker that waits
        for a store is not stuck: a new one would wait as well, and the wait has a bound of its own."""
        counters = live.counters
        if counters.steps != live.steps or not live.holding:
            live.steps, live.step_at = counters.steps, now
        if counters.stored_calls != live.stored_calls or not counters.storing:
            live.stored_calls, live.stored_at = counters.stored_calls, now
        if live.waiting_reason:
            live.step_at = live.behind_since = now
        s = settings
        if now - live.step_at > s.stall:
            return f"it made no progress for {s.stall:.0f} s"
        if now - live.stored_at > s.owner_stall:
            return f"it has stored nothing of what it was sent for {s.owner_stall:.0f} s"
        if now - live.behind_since > s.owner_stall:
            return f"it has not taken the view that it was sent for {s.owner_stall:.0f} s"
        return ""
