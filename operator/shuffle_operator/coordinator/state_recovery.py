"""Waiting for the workers that a lost coordinator left behind, and for what they hold, before anything is given out.

Each reports what it holds without its view and the plan's summary, which are large and mostly the same for thousands of
workers: one worker with the newest view is asked for both. What is made of it all is in `rebuild.py`.

Memory: what each worker holds, some bytes for each split and group; one view, one summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from shuffle_operator.coordinator.members import Live
from shuffle_protocol.messages import Done, Held, PlanSummary, View, WrittenGroup


@dataclass(frozen=True, slots=True)
class Survivors:
    """What the workers that are here hold."""

    view: View
    """The newest that any of them has."""
    summary: PlanSummary
    """Of the plan that the view is about."""
    held: Mapping[int, Held]
    """By worker."""
    incarnations: Mapping[int, str]
    """By worker."""


@dataclass(slots=True)
class StateRecovery:
    """What is waited for, and gathered, after a coordinator took over a running job."""

    since: float | None = None
    """When the waiting began; None where nobody is waited for."""
    missing: dict[int, float] = field(default_factory=dict)
    """Slots that have not been heard of yet, and since when. A worker that is there may hang: it is replaced in the
    end, long after the job went on without it."""
    _held: dict[int, Held] = field(default_factory=dict)
    _newest: View | None = None
    _summary: PlanSummary | None = None
    _written: dict[int, WrittenGroup] = field(default_factory=dict)  # by group

    @property
    def awaited(self) -> bool:
        return self.since is not None

    def begin(self, slots: Iterable[int], now: float) -> None:
        """These slots may hold workers that the last coordinator left behind."""
        self.since = now
        self.missing = dict.fromkeys(slots, now)

    def report(self, worker: int, held: Held, now: float) -> None:
        """A worker says what it holds; it may do so twice, the second time with its view."""
        newer = held.view is not None and (self._newest is None or held.view.epoch > self._newest.epoch)
        if newer and held.summary is not None:
            self._newest, self._summary = held.view, held.summary
        self._held[worker] = msgspec.structs.replace(held, view=None, summary=None)
        if self.since is None:
            self.since = now

    def wrote(self, done: Done) -> None:
        """A write that was begun under an earlier coordinator has ended, after its worker reported what it holds."""
        self._written[done.id.item] = done.written_group

    def take_written(self) -> list[WrittenGroup]:
        """Such groups. Each is returned once."""
        found = list(self._written.values())
        self._written.clear()
        return found

    def heard(self, worker: int) -> None:
        """A worker has come, or is known to be gone."""
        self.missing.pop(worker, None)

    def absent(self, before: float) -> list[int]:
        """The workers that are missing since before that moment. Each is returned once."""
        found = [worker for worker, since in self.missing.items() if since < before]
        for worker in found:
            del self.missing[worker]
        return found

    def forget(self) -> None:
        """The waiting is over."""
        self.since = self._newest = self._summary = None
        self._held.clear()

    def lacks_view_of(self, members: Mapping[int, Live]) -> int | None:
        """The worker to ask for its view: the first of those here whose view is newer than any that was sent."""
        epochs = {worker: held.epoch for worker, held in self._held.items() if worker in members}
        newest = max(epochs.values(), default=-1)
        if self._newest is not None and newest <= self._newest.epoch:
            return None
        return min((worker for worker, epoch in epochs.items() if epoch == newest), default=None)

    def here(
        self, members: Mapping[int, Live], wanted: int, now: float, patience: float, view_patience: float
    ) -> Survivors | None:
        """Once all are there, or have been waited for: what they hold. None before that, and where nobody holds
        anything. view_patience: seconds more for the newest view; without it a worker that has one counts as one that
        holds nothing."""
        if self.since is None or (len(members) < wanted and now - self.since < patience):
            return None
        if self.lacks_view_of(members) is not None and now - self.since < patience + view_patience:
            return None
        view, summary, there = self._newest, self._summary, dict(self._held)
        self.forget()
        if view is None or summary is None:
            return None
        held = {
            w: one for w, one in there.items() if w in members and one.epoch <= view.epoch and one.plan == view.plan
        }
        return Survivors(view, summary, held, {worker: live.incarnation for worker, live in members.items()})
