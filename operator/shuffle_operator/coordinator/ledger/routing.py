"""Who can bring a split that is due: anybody, by reading it, or the one worker that has its rows at hand.

A worker has them because it kept what it sent of the split (`recovery.retainShards`), or because it stored them as the
owner of groups that it hands over now. Both are offers only: where the rows turn out not to be there any more, the
split is read.

Part of the ledger (`ledger.py`). Memory: an entry in a queue for each split of each live tranche, and a word for each
split.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.ledger.tranches import DONE, DUE, NOBODY, NONE, Tranche
from shuffle_protocol.messages import Attempt


@dataclass(frozen=True, slots=True)
class Handover:
    """Groups that leave their owner while it is alive: it sends to the new owners what it has stored for them."""

    worker: int
    tranche: int
    """The tranche that the groups were in. No other counts: the owner may have stored shards of older ones, too."""
    done: bytes
    """A byte a split: 1 where the owner has what that split brought."""
    counted: Mapping[int, int]
    """The attempts that counted there, where they are not 0."""

    @classmethod
    def out_of(cls, tranche: Tranche, worker: int) -> Handover:
        """What an owner has stored of a tranche so far."""
        done = bytes(state == DONE for state in tranche.state)
        return cls(worker, tranche.number, done, dict(tranche.counted))

    def source(self, split: int) -> Attempt | None:
        """What the owner has stored of a split, if it has that."""
        return Attempt(self.tranche, split, self.counted.get(split, 0)) if self.done[split] else None

    def without(self, split: int) -> Handover:
        """The same, but for a split of which something turned out to be missing."""
        return Handover(self.worker, self.tranche, self.done[:split] + b"\0" + self.done[split + 1 :], self.counted)


@dataclass(slots=True)
class Queues:
    """The due splits of one tranche. A queue may hold splits that are no longer due: these are skipped."""

    waiting: deque[int] = field(default_factory=deque)
    """Splits for anybody to read."""
    held: dict[int, deque[int]] = field(default_factory=dict)
    """Worker -> splits that it can send without reading."""

    def put(self, split: int, sender: int) -> None:
        """Let a split wait for its sender, or for any worker (NOBODY)."""
        if sender == NOBODY:
            self.waiting.append(split)
        else:
            self.held.setdefault(sender, deque()).append(split)


@dataclass(slots=True)
class Routing:
    """Which worker each due split waits for."""

    facts: Facts
    retained_by: array[int] = field(init=False)
    """Split -> the worker that kept what it sent of it."""
    _numbers: list[int] = field(init=False)  # of the splits: the same ints in every queue
    _queues: dict[int, Queues] = field(default_factory=dict)  # by tranche
    _handovers: dict[int, Handover] = field(default_factory=dict)  # by the tranche that the groups are in now

    def __post_init__(self) -> None:
        self.retained_by = array("i", [NOBODY]) * self.facts.splits
        self._numbers = list(range(self.facts.splits))
        for tranche in self.facts.tranches.values():
            self.open(tranche)

    @property
    def keeping(self) -> bool:
        """Somebody keeps what it sends."""
        return self.retained_by.count(NOBODY) < self.facts.splits

    def sender(self, tranche: int, split: int) -> int:
        """The worker that can bring a split without reading it; NOBODY where there is none."""
        retained_by, handover = self.retained_by[split], self._handovers.get(tranche)
        if handover is not None and retained_by in (NOBODY, handover.worker) and handover.source(split):
            return handover.worker  # what it kept has nothing of its own groups
        return retained_by

    # -- queues ------------------------------------------------------------------------------------------------------

    def open(
        self, tranche: Tranche, handover: Handover | None = None, reading: Mapping[int, int] | None = None
    ) -> None:
        """Let the due splits of a tranche wait. reading: split -> the worker that reads it just now, and is about to
        keep it."""
        queues = self._queues[tranche.number] = Queues()
        if handover is not None:
            self._handovers[tranche.number] = handover
        elif not self.keeping:
            queues.waiting.extend(self._due(tranche))
            return
        keeping = self.keeping
        for split in self._due(tranche):
            sender = self.sender(tranche.number, split)
            if sender == NOBODY and keeping and reading is not None:
                sender = reading.get(split, NOBODY)
            queues.put(split, sender)

    def _due(self, tranche: Tranche) -> Iterator[int]:
        return (split for split, state in zip(self._numbers, tranche.state, strict=True) if state == DUE)

    def close(self, tranche: int) -> None:
        """The tranche is no more."""
        self._queues.pop(tranche, None)
        self._handovers.pop(tranche, None)

    def reopen(self) -> None:
        """To be called after the tranches were made from reports, as a whole."""
        self._queues.clear()
        for tranche in self.facts.tranches.values():
            self.open(tranche)

    def route(self, tranche: int, split: int, *, first: bool = False) -> None:
        """Let a due split wait for whom it should. first: ahead of all others, where anybody may read it."""
        sender, queues = self.sender(tranche, split), self._queues[tranche]
        if first and sender == NOBODY:
            queues.waiting.appendleft(split)
        else:
            queues.put(split, sender)

    def next_waiting(self, tranche: Tranche, avoided: frozenset[int] = NONE) -> int | None:
        """A split to read, still due; it stays so. One that is avoided waits on, and all behind it too."""
        waiting = self._queues[tranche.number].waiting
        while waiting:
            split = waiting.popleft()
            if split in avoided:
                waiting.appendleft(split)
                return None
            if tranche.state[split] == DUE:
                return split
        return None

    def next_held(self, tranche: Tranche, worker: int, ready: Callable[[int], bool]) -> int | None:
        """A split that this worker is to send, still due; it stays so. Those that are not `ready` wait on."""
        queue = self._queues[tranche.number].held.get(worker)
        for _ in range(len(queue) if queue else 0):
            assert queue is not None
            split = queue.popleft()
            if tranche.state[split] != DUE:
                continue
            if not ready(split):
                queue.append(split)
            elif self.sender(tranche.number, split) != worker:  # what it was reading then it has not kept
                self.route(tranche.number, split)
            else:
                return split
        return None

    def last_held(self, tranche: Tranche, sender: int) -> int | None:
        """The due split that a sender will come to last, taken off it."""
        queue = self._queues[tranche.number].held.get(sender)
        while queue:
            split = queue.pop()
            if tranche.state[split] == DUE:
                return split
        return None

    def waited_for(self) -> list[int]:
        """Workers for which splits wait, in order."""
        there = [self._queues[t.number] for t in self.facts.tranches.values() if t.remaining]
        return sorted({worker for queues in there for worker, queue in queues.held.items() if queue})

    # -- what is at hand ---------------------------------------------------------------------------------------------

    def keep(self, split: int, worker: int) -> None:
        """A worker kept what it sent."""
        if self.retained_by[split] == NOBODY:
            self.retained_by[split] = worker

    def not_kept(self, split: int) -> None:
        """A split was read, and its reader did not keep what it sent. Some tranches may have waited for that."""
        for tranche in self.facts.tranches.values():
            if tranche.state[split] == DUE and self.sender(tranche.number, split) == NOBODY:
                self._queues[tranche.number].waiting.append(split)

    def forget_keeper(self, split: int) -> None:
        """What was kept of a split is gone."""
        before, self.retained_by[split] = self.retained_by[split], NOBODY
        for tranche in self.facts.tranches.values():
            if before != NOBODY and tranche.state[split] == DUE:
                self.route(tranche.number, split)

    def forget_stored(self, tranche: int, split: int) -> None:
        """What the old owner of a tranche's groups had stored of a split is gone."""
        handover = self._handovers.get(tranche)
        if handover is not None:
            self._handovers[tranche] = handover.without(split)

    def undo(self, split: int) -> None:
        """A split that was done is damaged: it is due again wherever it was done."""
        for tranche in self.facts.tranches.values():
            if tranche.undo(split):
                self._queues[tranche.number].waiting.append(split)

    def lose(self, worker: int) -> None:
        """Nothing of a worker is at hand any more: what waited for it goes to others."""
        if self.keeping:
            for split, keeper in enumerate(self.retained_by):
                if keeper == worker:
                    self.retained_by[split] = NOBODY
        self._handovers = {t: handover for t, handover in self._handovers.items() if handover.worker != worker}
        for tranche in self.facts.tranches.values():
            for split in self._queues[tranche.number].held.pop(worker, ()):
                if tranche.state[split] == DUE:
                    self.route(tranche.number, split)

    # -- handovers ---------------------------------------------------------------------------------------------------

    def stored(self, tranche: int, split: int, worker: int) -> Attempt | None:
        """What this worker has stored of a split, as the old owner of the tranche's groups."""
        handover = self._handovers.get(tranche)
        return handover.source(split) if handover is not None and handover.worker == worker else None

    def handed_over(self, tranche: int) -> bool:
        """Whether the tranche's groups were handed over by an owner that is still there."""
        return tranche in self._handovers

    def migrating(self) -> list[tuple[int, int]]:
        """(tranche, worker) of each handover: the worker keeps what it has stored until that is done."""
        return [
            (t.number, self._handovers[t.number].worker)
            for t in self.facts.tranches.values()
            if t.number in self._handovers and t.remaining
        ]

    def hands_over(self, worker: int) -> bool:
        """Whether a worker still has to send what it stored for groups that it handed over."""
        for tranche in self.facts.tranches.values():
            handover = self._handovers.get(tranche.number)
            if handover is None or handover.worker != worker or not tranche.remaining:
                continue
            if any(state != DONE and handover.source(split) for split, state in enumerate(tranche.state)):
                return True
        return False

    @property
    def must_read(self) -> bool:
        """Whether rows are missing that no owner is about to hand over."""
        return any(t.remaining and t.number not in self._handovers for t in self.facts.tranches.values())
