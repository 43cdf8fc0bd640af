"""The views that workers are sent: a whole one to a worker that has none, else only what changed since the one that it
has.

A whole view grows with the workers and the groups, and each worker needs every change: sent whole each time, ten
thousand workers would be sent ten gigabytes whenever one of them is replaced. What changed is found by comparing with
the view that was published before, so nothing has to be noted where it changes.

Memory: two views, and the changes between the last of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_protocol.messages import Member, View
from shuffle_protocol.runs import changed, runs_of

REMEMBERED = 1024
"""Changes that are kept; a worker whose view is older than these gets a whole one."""


@dataclass(frozen=True, slots=True)
class Change:
    """From the view of epoch `base` to the one published after it."""

    base: int
    joined: tuple[int, ...]
    """Members that are new, or in whose slot another process is."""
    gone: tuple[int, ...]
    groups: tuple[int, ...]


@dataclass(slots=True)
class Views:
    """The views that were published, and the changes between them."""

    plan: str = ""
    epoch: int = -1
    """The epoch of the newest one published; -1: none. Views are made when somebody needs them, once for all who do."""
    _members: dict[int, Member] = field(default_factory=dict)
    _owner: list[int] = field(default_factory=list)
    _tranche: list[int] = field(default_factory=list)
    _migrating: list[tuple[int, int]] = field(default_factory=list)
    _changes: deque[Change] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _made: dict[int, View] = field(default_factory=dict)  # base -> what brings it to this epoch

    def publish(self, plan: str, epoch: int, members: Mapping[int, Member], ledger: Ledger) -> None:
        """Publish how things are as of an epoch."""
        if epoch == self.epoch:
            return
        facts = ledger.facts
        if self.epoch >= 0:
            groups = changed(facts.owner, facts.tranche, self._owner, self._tranche)
            joined = tuple(w for w, member in members.items() if self._members.get(w) != member)
            gone = tuple(w for w in self._members if w not in members)
            self._changes.append(Change(self.epoch, joined, gone, tuple(groups)))
        self.plan, self.epoch = plan, epoch
        self._members = dict(members)
        self._owner, self._tranche = list(facts.owner), list(facts.tranche)
        self._migrating = ledger.routing.migrating()
        self._made.clear()

    def since(self, base: int) -> View:
        """For a worker that has the view of epoch `base`, or none (-1)."""
        view = self._made.get(base)
        if view is None and any(change.base == base for change in self._changes):
            view = self._made[base] = self._over(base)
        if view is None:
            view = self._made.get(-1) or self._whole()
            self._made[-1] = view
        return view

    def _whole(self) -> View:
        members = [member for _, member in sorted(self._members.items())]
        runs = runs_of(range(len(self._owner)), self._owner, self._tranche)
        return View(self.plan, self.epoch, len(self._owner), members, runs, self._migrating)

    def _over(self, base: int) -> View:
        touched: set[int] = set()
        moved: set[int] = set()
        for change in reversed(self._changes):
            touched.update(change.joined, change.gone)
            moved.update(change.groups)
            if change.base == base:
                break
        members = [self._members[w] for w in sorted(touched) if w in self._members]
        gone = sorted(w for w in touched if w not in self._members)
        runs = runs_of(sorted(moved), self._owner, self._tranche)
        return View(self.plan, self.epoch, len(self._owner), members, runs, self._migrating, base, gone)
