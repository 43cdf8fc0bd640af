"""What a receiver answers to a frame. Apart from `frames.py`, which needs NumPy: the coordinator uses only the
answers."""

from __future__ import annotations

from enum import StrEnum


class Ack(StrEnum):
    """A receiver's answer to a frame, and what the sender does next: ACCEPTED and REPEATED are acks, the others
    nacks."""

    ACCEPTED = "accepted"  # held until written or lost: go on
    REPEATED = "repeated"  # was here already: go on
    BEHIND = "behind"  # the receiver's view is older than the sender's, or it does not own that yet: again, soon
    STALE = (
        "stale"  # tranche, owner or sender no longer right, or the bucket sealed: get a newer view, do not send again
    )
    CORRUPT = "corrupt"  # a checksum did not match: send again
    BUSY = "busy"  # too much at once: again, soon
    FULL = "full"  # its scratch has no room or fails, and the coordinator hears of it: wait for a newer view

    @property
    def delivered(self) -> bool:
        """The receiver has the shards, now or from before."""
        return self in (Ack.ACCEPTED, Ack.REPEATED)
