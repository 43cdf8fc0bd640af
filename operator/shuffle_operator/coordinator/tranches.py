"""A tranche, or recovery set: a set of groups whose splits are counted together, and who can bring each of them.

A split of a tranche is due, out on a lease, or done. One that is due waits either for anybody, who reads it from the
input, or for the one worker that has its rows at hand: because it kept what it had sent (`recovery.retainShards`), or
because it stored them as the groups' owner until they were handed over. Used by the ledger alone.

Memory: three bytes and an entry in a queue for each split of each live tranche.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shuffle_protocol.messages import Attempt

DUE, OUT, DONE = 0, 1, 2
NOBODY = -1
NONE: frozenset[int] = frozenset()


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

    def source(self, split: int) -> Attempt | None:
        """What the owner has stored of a split, if it has that."""
        return Attempt(self.tranche, split, self.counted.get(split, 0)) if self.done[split] else None

    def without(self, split: int) -> Handover:
        """The same, but for a split of which something turned out to be missing."""
        return Handover(self.worker, self.tranche, self.done[:split] + b"\0" + self.done[split + 1 :], self.counted)


@dataclass(slots=True)
class Tranche:
    """A set of groups whose splits are counted together. Queues may hold splits that are no longer due: these are
    skipped."""

    number: int
    groups: int
    """How many are in it now."""
    state: bytearray
    """A byte a split."""
    remaining: int
    wave: int = 0
    """The wave of all of its groups (`PlanSummary.group_wave`); splits of other waves count as done."""
    waiting: deque[int] = field(default_factory=deque)
    """Splits for anybody to read."""
    held: dict[int, deque[int]] = field(default_factory=dict)
    """Splits that a worker can send without reading."""
    given: array[int] = field(default_factory=lambda: array("H"))
    """How often each split was given out."""
    handover: Handover | None = None
    counted: dict[int, int] = field(default_factory=dict)
    """Split -> the attempt that counted, where that is not 0."""
    _exceptions: list[Attempt] | None = None

    @classmethod
    def due_for(cls, number: int, groups: int, splits: int, waves: Sequence[int] = (), wave: int = 0) -> Tranche:
        """waves: of every split; empty where there is one wave."""
        state = bytearray(DUE if each == wave else DONE for each in waves) if waves else bytearray(splits)
        return cls(number, groups, state, state.count(DUE), wave, given=array("H", [0]) * splits)

    def untouched(self, waves: Sequence[int]) -> bool:
        """No split has been given out or done: its groups can still change hands for nothing."""
        if not waves:
            return not any(self.state)
        return all(state == DUE for state, wave in zip(self.state, waves, strict=True) if wave == self.wave)

    def route(self, split: int, sender: int) -> None:
        """Let a due split wait for its sender, or for any worker (NOBODY)."""
        if sender == NOBODY:
            self.waiting.append(split)
        else:
            self.held.setdefault(sender, deque()).append(split)

    def next_waiting(self, avoided: frozenset[int] = NONE) -> int | None:
        """A split to read, still due; it stays so. One that is avoided waits on, and all behind it too."""
        while self.waiting:
            split = self.waiting.popleft()
            if split in avoided:
                self.waiting.appendleft(split)
                return None
            if self.state[split] == DUE:
                return split
        return None

    def next_held(self, worker: int, ready: Callable[[int], bool]) -> int | None:
        """A split that this worker is to send, still due; it stays so. Those that are not `ready` wait on."""
        queue = self.held.get(worker)
        for _ in range(len(queue) if queue else 0):
            assert queue is not None
            split = queue.popleft()
            if self.state[split] != DUE:
                continue
            if ready(split):
                return split
            queue.append(split)
        return None

    def release(self, worker: int) -> list[int]:
        """Remove and return the splits that waited for a worker, which will not send them any more."""
        return [split for split in self.held.pop(worker, ()) if self.state[split] == DUE]

    def undo(self, split: int) -> bool:
        """Due again, after it was done. False where it was not."""
        if self.state[split] != DONE:
            return False
        self.counted.pop(split, None)
        self._exceptions = None
        self.state[split] = DUE
        self.remaining += 1
        self.waiting.append(split)
        return True

    def finish(self, split: int, attempt: int) -> bool:
        """False where it was done already."""
        if self.state[split] == DONE:
            return False
        self.state[split] = DONE
        self.remaining -= 1
        if attempt:
            self.counted[split] = attempt
            self._exceptions = None
        return True

    def exceptions(self) -> list[Attempt]:
        """The attempts that counted where that was not 0, in order; asked for with every group that is written."""
        if self._exceptions is None:
            self._exceptions = [Attempt(self.number, split, attempt) for split, attempt in sorted(self.counted.items())]
        return self._exceptions
