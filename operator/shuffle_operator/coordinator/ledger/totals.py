"""What finished work adds up to, and that its figures agree with each other."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from shuffle_protocol.messages import Done

UNKNOWN = -1
CHANGED = (
    "input changed while the job ran, or a function of the job's (map, reader) does not return the same for the same "
    "rows each time"
)


class Inconsistent(Exception):
    """The figures of two steps disagree: rows were lost or invented, or an input changed."""


@dataclass(slots=True)
class Totals:
    """Rows and bytes of finished work; see `messages.Done`. again: of splits that had been read before, as it is needed
    when an owner was lost; resent: leases that sent what a worker had at hand."""

    rows_read: int = 0
    rows_received: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_read_again: int = 0
    bytes_sent: int = 0
    bytes_sent_again: int = 0
    bytes_written: int = 0
    files: int = 0
    largest: int = 0
    splits_redone: int = 0
    splits_resent: int = 0

    def transferred(self, done: Done, *, again: bool, resent: bool) -> None:
        self.bytes_read += done.bytes_read
        self.bytes_sent += done.bytes_moved
        if again:
            self.splits_redone += 1
            self.splits_resent += resent
            self.bytes_read_again += done.bytes_read
            self.bytes_sent_again += done.bytes_moved

    def written(self, done: Done) -> None:
        self.rows_received += done.rows_moved
        self.files += done.files
        self.largest = max(self.largest, done.largest)


@dataclass(slots=True)
class SplitRows:
    """How many rows each split gave, which must be the same however often it is read."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    known: int = 0
    """Splits whose rows were reported."""

    @classmethod
    def of(cls, splits: int) -> SplitRows:
        return cls(array("q", [UNKNOWN]) * splits)

    def seen(self, split: int) -> bool:
        return self.rows[split] != UNKNOWN

    def note(self, split: int, rows: int) -> int:
        """Returns the rows that this adds to what was read. Raises Inconsistent."""
        if rows == UNKNOWN:
            return 0
        before = self.rows[split]
        if before == UNKNOWN:
            self.rows[split] = rows
            self.known += 1
            return rows
        if before != rows:
            raise Inconsistent(
                f"split {split} gave {before} rows when it was read first and {rows} when it was read again: the "
                f"{CHANGED}"
            )
        return 0
