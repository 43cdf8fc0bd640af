"""The guards that make late, doubled and damaged messages harmless, each with a way to switch it off.

`test_guards.py` proves that a run goes wrong without any one of them; `make simulate WITHOUT=dedupe` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import shuffle_worker.transfer.inbox as inbox_module
from shuffle_protocol.acks import Ack
from shuffle_worker.transfer.inbox import GroupSource, Inbox
from tests.simulation.disks import DiskStore


def no_checksums(patch: pytest.MonkeyPatch) -> None:
    """Neither when a frame comes in nor when the store is read: each makes good for the other."""
    patch.setattr(inbox_module, "first_corrupt", lambda shards: None)
    patch.setattr(DiskStore, "verifies", False)


def no_dedupe(patch: pytest.MonkeyPatch) -> None:
    """Frames that were taken before, or are being taken, are taken again."""
    judge: Callable[..., Any] = Inbox._judge

    def judged(self: Inbox, header: Any, again: bool = False) -> Any:
        ack = judge(self, header, again)
        return None if ack in (Ack.REPEATED, Ack.BUSY) else ack

    patch.setattr(Inbox, "_judge", judged)


def no_attempts(patch: pytest.MonkeyPatch) -> None:
    """Shards of every attempt are used, not only of those that counted."""
    patch.setattr(Inbox, "source", lambda self, group, counted: GroupSource(self.store, (), self.membership.me))


def no_epochs(patch: pytest.MonkeyPatch) -> None:
    """Frames are taken whoever they come from, for whatever tranche, and whoever owns its groups."""

    def judged(self: Inbox, header: Any, again: bool = False) -> Any:
        if self.groups is None:
            return Ack.BEHIND
        if self._taken.get(header.attempt, 0) >> header.number & 1:
            return Ack.REPEATED
        return None

    patch.setattr(Inbox, "_judge", judged)


GUARDS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "epochs": no_epochs,
    "attempts": no_attempts,
    "dedupe": no_dedupe,
    "checksums": no_checksums,
}


@contextmanager
def without(guard: str) -> Iterator[None]:
    """guard: a name in GUARDS; "" switches nothing off."""
    with pytest.MonkeyPatch.context() as patch:
        if guard:
            GUARDS[guard](patch)
        yield
