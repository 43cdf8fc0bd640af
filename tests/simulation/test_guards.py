"""Each guard is needed, and the simulation would notice if it were gone: with it switched off a run goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import shuffle_worker.transfer.inbox as inbox_module
from shuffle_worker.transfer.inbox import GroupSource, Inbox

from .disks import DiskStore
from .model import Shape
from .scenario import Wrong, check
from .virtual import run_virtual
from .world import Faults, World

MOST_SEEDS = 2_000
STORM = Faults(lose=0.1, double=0.3, corrupt=0.05, delay=0.05, kill=0.6, freeze=0.1, coordinator=0.02)


def no_checksums(patch: pytest.MonkeyPatch) -> None:
    """Neither when a frame comes in nor when the store is read: each makes good for the other."""
    patch.setattr(inbox_module, "first_corrupt", lambda shards: None)
    patch.setattr(DiskStore, "verifies", False)


def no_dedupe(patch: pytest.MonkeyPatch) -> None:
    """Frames that were taken before, or are being taken, are taken again."""
    judge: Callable[..., Any] = Inbox._judge

    def judged(self: Inbox, header: Any, again: bool = False) -> Any:
        verdict = judge(self, header, again)
        return None if verdict in (inbox_module.Verdict.REPEATED, inbox_module.Verdict.BUSY) else verdict

    patch.setattr(Inbox, "_judge", judged)


def no_attempts(patch: pytest.MonkeyPatch) -> None:
    """Shards of every attempt are used, not only of those that counted."""
    patch.setattr(Inbox, "source", lambda self, group, counted: GroupSource(self.store, (), self.membership.me))


def no_epochs(patch: pytest.MonkeyPatch) -> None:
    """Frames are taken whoever they come from, for whatever tranche, and whoever owns its groups."""

    def judged(self: Inbox, header: Any, again: bool = False) -> Any:
        if self.groups is None:
            return inbox_module.Verdict.BEHIND
        if self._taken.get(header.attempt, 0) >> header.number & 1:
            return inbox_module.Verdict.REPEATED
        return None

    patch.setattr(Inbox, "_judge", judged)


GUARDS = [no_checksums, no_dedupe, no_attempts, no_epochs]


@pytest.mark.parametrize("remove", GUARDS, ids=lambda guard: guard.__name__)
def test_without_a_guard_a_run_goes_wrong(monkeypatch: pytest.MonkeyPatch, remove: Callable[..., None]) -> None:
    remove(monkeypatch)
    for seed in range(MOST_SEEDS):
        try:
            check(seed)
        except Wrong:
            return
    pytest.fail(f"{remove.__name__}: {MOST_SEEDS} schedules, and nothing went wrong")


def test_a_storm_is_survived_with_all_guards() -> None:
    for seed in range(20):
        world = World(seed, Shape(workers=3, splits=8, rows=30, groups=5), STORM)
        run_virtual(world.run(), 3600.0)
        assert world.objects.committed, world.trace[-10:]
