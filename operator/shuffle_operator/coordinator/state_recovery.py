"""Waiting for the workers that a lost coordinator left behind, and for what they hold, before anything is given out.

What is made of it is in `rebuild.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from shuffle_operator.coordinator.members import Live
from shuffle_protocol.messages import Done, Held, LeaseKind, View


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
    _written: dict[int, Done] = field(default_factory=dict)  # by group

    @property
    def awaited(self) -> bool:
        return self.since is not None

    def begin(self, slots: Iterable[int], now: float) -> None:
        """These slots may hold workers that the last coordinator left behind."""
        self.since = now
        self.missing = dict.fromkeys(slots, now)

    def report(self, worker: int, held: Held, now: float) -> None:
        """Only the newest view is kept: thousands of them would be gigabytes."""
        if self._newest is None or held.view.epoch > self._newest.epoch:
            self._newest = held.view
        self._held[worker] = msgspec.structs.replace(held, view=self._newest)
        if self.since is None:
            self.since = now

    def wrote(self, done: Done) -> None:
        """A write that was begun under an earlier coordinator has ended, after its worker reported what it holds."""
        if done.id.kind is LeaseKind.WRITE:
            self._written[done.id.item] = done

    def take_written(self) -> list[tuple[int, int, int]]:
        """Such groups, with their rows and bytes. Each is returned once."""
        found = [(group, done.rows_written, done.bytes_written) for group, done in self._written.items()]
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
        """The job was planned anew before the waiting ended: they start over."""
        self.since = self._newest = None
        self._held.clear()

    def here(
        self, members: Mapping[int, Live], wanted: int, now: float, patience: float
    ) -> dict[int, tuple[str, Held]] | None:
        """Once all are there, or have been waited for: worker -> (incarnation, what it holds). None before that."""
        if self.since is None or (len(members) < wanted and now - self.since < patience):
            return None
        found = {w: (live.incarnation, self._held[w]) for w, live in members.items() if w in self._held}
        self.forget()
        return found
