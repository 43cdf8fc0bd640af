"""The timeline of a job while it runs: a lane for each worker's slot, painted with what its reports say.

A report says how many seconds went to what since the one before; they are spread evenly over the columns in between.
When the last column is full, pairs of columns become one.

Memory: three bytes for each column of a lane, at most 3 * `COLUMNS` * `LANES` (720 KiB), and ten numbers a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_operator.history.figures import COLUMNS, LANES, Doing

LETTERS = "rcsbdwopi-"
"""`Doing`, in the order of the seconds that lanes are painted with."""

IDLE, ABSENT = LETTERS.index(Doing.IDLE), LETTERS.index(Doing.ABSENT)
NARROWEST = 0.25
"""Seconds of a column at first."""

NO_MEMORY = ord("-")
_DIGITS = b"0123456789abcdefghijklmnopqrstuvwxyz"


def memory_letter(resident: int, budget: int) -> int:
    """A character (see `Timeline.memory`)."""
    return _DIGITS[min(35, 32 * resident // budget)] if budget > 0 else NO_MEMORY


@dataclass(slots=True)
class Lane:
    """One slot's."""

    at: float = 0.0
    """Until when it is painted."""
    letters: bytearray = field(default_factory=bytearray)
    weights: bytearray = field(default_factory=bytearray)
    """How much of its column each letter took, in 1/255."""
    memory: bytearray = field(default_factory=bytearray)
    seconds: list[float] = field(default_factory=lambda: [0.0] * len(LETTERS))
    """Of the column that is being painted."""
    again: float = 0.0
    """Of these, seconds of work that is done again."""
    most: int = NO_MEMORY
    """Of memory, in that column."""
    last: int = ord(Doing.ABSENT)
    """What it did in the newest report."""

    def paint(self, until: float, seconds: Sequence[float], width: float, *, again: bool, memory: int) -> None:
        """Spread seconds over the time up to `until`."""
        span = until - self.at
        if span <= 0:
            self._add(seconds, 1.0, again)
            return
        while True:
            end = (len(self.letters) + 1) * width
            step = min(until, end)
            self._add(seconds, (step - self.at) / span, again)
            self.most = max(self.most, memory) if memory != NO_MEMORY else self.most
            self.at = step
            if until < end:
                break
            self._settle(width)
        self.last = _letter(seconds, 1.0 if again else 0.0)

    def _add(self, seconds: Sequence[float], share: float, again: bool) -> None:
        for n, each in enumerate(seconds):
            if each:
                self.seconds[n] += each * share
        if again:
            self.again += sum(seconds[:IDLE]) * share

    def _settle(self, width: float) -> None:
        """The column that was being painted is over."""
        letter, weight = self.letter(), min(255, int(255 * max(self.seconds) / width))
        self.letters.append(letter)
        self.weights.append(weight)
        self.memory.append(self.most)
        self.seconds = [0.0] * len(LETTERS)
        self.again, self.most = 0.0, NO_MEMORY

    def letter(self) -> int:
        """Of the column that is being painted."""
        return _letter(self.seconds, self.again)

    def halve(self, width: float) -> None:
        """Pairs of columns become one. width: of a column until now."""
        if len(self.letters) % 2:  # a single one goes on being painted
            letter, weight, memory = self.letters.pop(), self.weights.pop(), self.memory.pop()
            seconds = weight / 255 * width
            self.seconds[LETTERS.index(chr(letter).lower())] += seconds
            self.again += seconds if chr(letter).isupper() else 0.0
            self.most = max(self.most, memory) if memory != NO_MEMORY else self.most
        pairs = zip(self.letters[::2], self.weights[::2], self.letters[1::2], self.weights[1::2], strict=True)
        merged = [(a, (v + w) // 2 if a == b else v // 2) if v >= w else (b, w // 2) for a, v, b, w in pairs]
        self.letters = bytearray(letter for letter, _ in merged)
        self.weights = bytearray(weight for _, weight in merged)
        memory_pairs = zip(self.memory[::2], self.memory[1::2], strict=True)
        self.memory = bytearray(b if a == NO_MEMORY else a if b == NO_MEMORY else max(a, b) for a, b in memory_pairs)

    def shown(self, columns: int) -> tuple[str, str]:
        """Letters and memory of so many columns; those that no report is about yet have the newest one's."""
        letters, memory = self.letters.decode(), self.memory.decode()
        if len(letters) < columns and sum(self.seconds) > 0:
            letters, memory = letters + chr(self.letter()), memory + chr(self.most)
        rest = columns - len(letters)
        return letters[:columns] + chr(self.last) * rest, memory[:columns] + (memory[-1:] or "-") * rest


def _letter(seconds: Sequence[float], again: float) -> int:
    most = max(range(len(LETTERS)), key=seconds.__getitem__)
    if seconds[most] <= 0:
        return ord(Doing.ABSENT)
    letter = LETTERS[most]
    return ord(letter.upper() if most < IDLE and again > sum(seconds[:IDLE]) / 2 else letter)


@dataclass(slots=True)
class Lanes:
    """All of them, and the width of their columns."""

    width: float = NARROWEST
    lanes: dict[int, Lane] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)
    """Slots beyond `LANES`."""

    def make_room(self, now: float) -> int:
        """Until a moment fits into `COLUMNS`. Returns how often the width doubled."""
        doubled = 0
        while now > COLUMNS * self.width:
            for lane in self.lanes.values():
                lane.halve(self.width)
            self.width *= 2
            doubled += 1
        return doubled

    def paint(self, worker: int, until: float, seconds: Sequence[float], *, again: bool, memory: int) -> None:
        """seconds: in the order of `LETTERS`, spread over the time since the lane was last painted."""
        lane = self._lane(worker)
        if lane is not None:
            lane.paint(until, seconds, self.width, again=again, memory=memory)

    def absent(self, worker: int, until: float) -> None:
        """There was no worker in that slot."""
        lane = self._lane(worker)
        if lane is not None and until > lane.at:
            seconds = [0.0] * len(LETTERS)
            seconds[ABSENT] = until - lane.at
            lane.paint(until, seconds, self.width, again=False, memory=NO_MEMORY)

    def gone(self, worker: int) -> None:
        """From now on there is none."""
        lane = self._lane(worker)
        if lane is not None:
            lane.last = ord(Doing.ABSENT)
            lane.most = NO_MEMORY

    def doing(self, worker: int) -> str:
        lane = self.lanes.get(worker)
        return chr(lane.last).lower() if lane is not None else Doing.ABSENT

    def _lane(self, worker: int) -> Lane | None:
        if worker >= LANES:
            self.left_out.add(worker)
            return None
        if worker not in self.lanes:
            self.lanes[worker] = Lane()
        return self.lanes[worker]

    def columns(self, count: int) -> tuple[list[str], list[str]]:
        """What workers did and their memory, a text for each column."""
        if not self.lanes:
            return [""] * count, [""] * count
        nobody = "-" * count
        shown = [
            self.lanes[n].shown(count) if n in self.lanes else (nobody, nobody) for n in range(max(self.lanes) + 1)
        ]
        letters, memory = zip(*shown, strict=True)
        return list(map("".join, zip(*letters, strict=True))), list(map("".join, zip(*memory, strict=True)))
