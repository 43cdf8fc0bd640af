"""A tranche, or recovery set: a set of groups whose splits are counted together.

A split of a tranche is due, out on a lease, or done. Used by the ledger alone, whose `routing.py` knows who can bring
a split that is due.

Memory: a byte for each split of each live tranche.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_protocol.messages import Attempt

DUE, OUT, DONE = 0, 1, 2
NOBODY = -1
NONE: frozenset[int] = frozenset()


@dataclass(slots=True)
class Tranche:
    """A set of groups whose splits are counted together."""

    number: int
    groups: int
    """How many are in it now."""
    state: bytearray
    """A byte a split."""
    remaining: int
    """Splits that are not done."""
    wave: int = 0
    """The wave of all of its groups (`PlanSummary.group_wave`); splits of other waves count as done."""
    counted: dict[int, int] = field(default_factory=dict)
    """Split -> the attempt that counted, where that is not 0."""
    _exceptions: list[Attempt] | None = None

    @classmethod
    def due_for(cls, number: int, groups: int, splits: int, waves: Sequence[int] = (), wave: int = 0) -> Tranche:
        """waves: of every split; empty where there is one wave."""
        state = bytearray(DUE if each == wave else DONE for each in waves) if waves else bytearray(splits)
        return cls(number, groups, state, state.count(DUE), wave)

    def untouched(self, waves: Sequence[int]) -> bool:
        """No split has been given out or done: its groups can still change hands for nothing."""
        if not waves:
            return not any(self.state)
        return all(state == DUE for state, wave in zip(self.state, waves, strict=True) if wave == self.wave)

    def undo(self, split: int) -> bool:
        """Due again, after it was done. False where it was not."""
        if self.state[split] != DONE:
            return False
        self.counted.pop(split, None)
        self._exceptions = None
        self.state[split] = DUE
        self.remaining += 1
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
