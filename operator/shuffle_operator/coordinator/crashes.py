"""Leases whose workers crashed, to find poison tasks: a library in C++ aborts on one input, and takes every worker that
tries with it.

A worker that is killed by somebody says nothing about its work. One that crashes by itself (SIGABRT, SIGSEGV, ...) had
some leases in hand, and one of them may be to blame. So these are *suspects*: each is given out again alone, to a
worker that has nothing else in hand. The next crash then says for certain whose fault it is, and a lease that has ended
`Settings.crash_attempts` workers ends the job: one failure, whose sentence has the file that the last of these workers
was at. What finishes is no longer a suspect.

Memory: an entry for each lease that was in the hands of a worker that crashed, until it is finished.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import LeaseId, LeaseKind


@dataclass(slots=True)
class Crashes:
    """Leases whose workers crashed."""

    times: dict[tuple[LeaseKind, int], int] = field(default_factory=dict)
    """(kind, item) -> how many workers crashed with such a lease in hand."""

    def note(
        self, leases: Iterable[LeaseId], worker: int, why: str, settings: Settings, *, planned_before: bool
    ) -> Cause | None:
        """A worker crashed with these in hand. Returns why the job fails, if it was one too many. planned_before: under
        an earlier coordinator, so that something may be written."""
        most, kind = 0, LeaseKind.ABORT
        for key in {(lease.kind, lease.item) for lease in leases if lease.kind is not LeaseKind.ABORT}:
            self.times[key] = self.times.get(key, 0) + 1
            if self.times[key] > most:
                most, kind = self.times[key], key[0]
        if most < settings.crash_attempts:
            return None
        message = f"{most} workers crashed one after the other {_DOING[kind]}; the last one: {why}"
        if kind is LeaseKind.PLAN:
            return Cause("DataError", message, worker, refusal=not planned_before)
        return Cause("DataError" if kind is LeaseKind.TRANSFER else "BackoffLimitExceeded", message, worker)

    def finished(self, lease: LeaseId) -> None:
        if self.times:
            self.times.pop((lease.kind, lease.item), None)

    def suspect(self, lease: LeaseId) -> bool:
        return (lease.kind, lease.item) in self.times

    def suspected(self, kind: LeaseKind) -> frozenset[int]:
        """The splits, or groups, of suspects of this kind."""
        return frozenset(item for each, item in self.times if each is kind)


_DOING = {
    LeaseKind.PLAN: "while they made the plan",
    LeaseKind.TRANSFER: "over the same part of the input",
    LeaseKind.WRITE: "while they wrote the same group",
    LeaseKind.COMMIT: "while they committed the output",
    LeaseKind.ABORT: "",
}
