"""How even the output is, from what workers say of each group that they wrote."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.history.bounded import Largest
from shuffle_operator.history.figures import BIGGEST, Bin, HotKey, NamedFile, Skew
from shuffle_protocol.measures import FrequentKey
from shuffle_protocol.messages import Done
from shuffle_protocol.sizes import bounds, median, size_class

SAMPLE = "a sample of the input, when the job was planned"
GROUPS = "a sample of each group of rows, when it was written"
HOT = 2
"""Times the median file that the rows of a hot key take by themselves."""
KEYS = 4 * BIGGEST
"""Keys that are remembered."""


@dataclass(slots=True)
class LargeKey:
    """A key that is the largest of some groups."""

    rows: float = 0.0
    bytes: float = 0.0


@dataclass(slots=True)
class OutputSizes:
    """Memory: a number for each class of sizes, the largest files, and `KEYS` keys."""

    classes: dict[int, int] = field(default_factory=dict)
    files: int = 0
    largest: int = 0
    biggest: Largest[NamedFile] = field(default_factory=lambda: Largest(BIGGEST))
    rows: int = 0
    """That groups were made of."""
    keys: dict[str, LargeKey] = field(default_factory=dict)

    def wrote(self, done: Done) -> None:
        """A group was written."""
        found = done.sizes or ([(size_class(done.bytes_written // done.files), done.files)] if done.files else [])
        for number, count in found[:200]:
            number = min(max(number, size_class(0)), size_class(1 << 60))
            self.classes[number] = self.classes.get(number, 0) + count
        self.files += done.files
        self.largest = max(self.largest, done.largest)
        if done.files:
            rows = done.rows_written if done.files == 1 else -1
            self.biggest.add(done.largest, NamedFile(done.id.item, done.largest_file, done.largest, rows))
        self.rows += max(0, done.rows_moved)
        if done.key:
            self._add(done.key[:200], min(max(done.key_share, 0.0), 1.0), done)

    def _add(self, name: str, share: float, done: Done) -> None:
        key = self.keys.setdefault(name, LargeKey())
        key.rows += share * max(0, done.rows_moved)
        key.bytes += share * max(0, done.bytes_written)
        if len(self.keys) > KEYS:
            del self.keys[min(self.keys, key=lambda one: self.keys[one].bytes)]

    def skew(self, keys: list[FrequentKey], exact: dict[str, str | int | float]) -> Skew:
        """exact: of the commit, empty before it."""
        largest = int(exact.get("largest", self.largest))
        middle = int(exact.get("median", 0)) or median(self.classes.items())
        return Skew(
            files=int(exact.get("files", self.files)),
            largest=largest,
            median=middle,
            ratio=round(largest / middle, 2) if middle else -1.0,
            bins=[Bin(*bounds(number), files=self.classes[number]) for number in sorted(self.classes)],
            biggest=list(self.biggest),
            hot_keys=self._hot(keys, middle),
        )

    def _hot(self, planned: list[FrequentKey], middle: int) -> list[HotKey]:
        """Those that make files large, the largest first; then those of the plan's sample that none of these is."""
        least = HOT * middle
        found = [
            HotKey(name, int(key.bytes), int(key.rows), round(key.rows / max(self.rows, 1), 4), GROUPS)
            for name, key in sorted(self.keys.items(), key=lambda item: (-item[1].bytes, item[0]))
            if middle and key.bytes >= least
        ]
        named = {key.key for key in found}
        before = [HotKey(key.key[:200], key.bytes, -1, round(key.share, 4), SAMPLE) for key in planned]
        return [*found, *(key for key in before if key.key not in named)][:BIGGEST]
