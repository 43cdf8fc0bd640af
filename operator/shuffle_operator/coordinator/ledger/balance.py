"""Whether every group received what was sent to it: the books of `shuffle_protocol/tally.py`.

Part of the ledger. Memory: 8 bytes for each split and each group.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.totals import CHANGED, Inconsistent
from shuffle_protocol.messages import Transferred
from shuffle_protocol.tally import MASK, tally

UNKNOWN = -1


@dataclass(slots=True)
class Balance:
    """What each split sent, and what each group received."""

    splits: int
    groups: int
    split_wave: Sequence[int] = ()
    group_wave: Sequence[int] = ()
    """`split_wave`, `group_wave`: as in `PlanSummary`; empty for one wave."""
    sent: array[int] = field(init=False)
    """The tally of each split, over all groups of its wave."""
    received: array[int] = field(init=False)
    """The rows of each group."""

    def __post_init__(self) -> None:
        self.sent = array("q", [UNKNOWN]) * self.splits
        self.received = array("q", [UNKNOWN]) * self.groups

    def note_sent(self, found: Transferred) -> None:
        """A split was read. Counts where it was read for all groups, which is so the first time. Raises Inconsistent
        where it sent something else before."""
        split = found.split
        if found.tally < 0 or found.covers not in (0, self._groups_of(split)):
            return
        before, self.sent[split] = self.sent[split], found.tally & MASK
        if before not in (UNKNOWN, self.sent[split]):
            raise Inconsistent(
                f"split {split} sent other rows when it was read again than when it was read first: the {CHANGED}"
            )

    def _groups_of(self, split: int) -> int:
        """Groups that may get rows of a split."""
        return self.group_wave.count(self.split_wave[split]) if self.split_wave else self.groups

    def note_received(self, group: int, rows: int) -> None:
        """A group was written."""
        self.received[group] = rows & MASK if rows >= 0 else UNKNOWN

    @property
    def known(self) -> bool:
        """Whether all figures are there. They are not if the coordinator and workers were lost since the start."""
        return UNKNOWN not in self.sent and UNKNOWN not in self.received

    @property
    def agrees(self) -> bool:
        """Whether every group received what was sent to it, as far as that is known."""
        return not self.known or tally(enumerate(self.received)) == sum(self.sent) & MASK
