"""How even the output is, from what workers say of each group that they wrote."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.history.bounded import Largest
from shuffle_operator.history.figures import BIGGEST, Bin, HotKey, NamedFile, Skew
from shuffle_protocol.measures import FrequentKey
from shuffle_protocol.messages import Done
from shuffle_protocol.sizes import bounds, median, size_class

SAMPLE = "a sample of the input"
ONE_FILE = "a file has rows of no other key"
HOT = 2
"""Times the median file from which a key that fills a file alone is hot."""


@dataclass(slots=True)
class OutputSizes:
    """Memory: a number for each class of sizes, and the largest files."""

    classes: dict[int, int] = field(default_factory=dict)
    files: int = 0
    largest: int = 0
    biggest: Largest[NamedFile] = field(default_factory=lambda: Largest(BIGGEST))
    single: Largest[HotKey] = field(default_factory=lambda: Largest(BIGGEST))
    """Keys that fill a file alone."""

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
            if done.only_key:
                self.single.add(done.largest, HotKey(done.only_key[:200], done.largest, rows, -1.0, ONE_FILE))
            self.biggest.add(done.largest, NamedFile(done.id.item, done.largest_file, done.largest, rows))

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
            hot_keys=[
                *(HotKey(key.key[:200], key.bytes, -1, round(key.share, 4), SAMPLE) for key in keys[:BIGGEST]),
                *(key for key in self.single if middle and key.bytes >= HOT * middle),
            ][:BIGGEST],
        )
