"""The progress estimate: how long a job will still take, from what it has done and what its plan expected. Pure
arithmetic.

Each half of a job predicts its own rest: what is read says how long the rest of reading will take, and what is written
the rest of writing. For a half that has not begun there is only the plan's estimate. Where functions of the user's are
called that is the expected time of the calls; else writing takes its share of the time that reading took.

While groups are written the plan's word counts like `TRUST` of them written in that time, so that the first ones do not
decide alone: where the plan is right the time left falls evenly from the first moment.
"""

from __future__ import annotations

LEAST_READ = 0.05
"""Share of the splits that must be read before their time is used."""

TRUST = 0.02
CALLS = 0.6
"""From this share of writing on, the time is that of calls."""


def seconds_left(
    *, read: float, wrote: float, reading: float, writing: float | None, write_share: float, expected: float
) -> float | None:
    """read, wrote: shares of the splits and the groups. reading, writing: seconds that it took so far; writing is None
    while rows still come. write_share, expected: of the plan: writing's share of the time, and its seconds. None: there
    is nothing to judge by."""
    if writing is None:
        if read < LEAST_READ:
            return None
        whole = reading / read
        return whole - reading + _afterwards(whole, write_share, expected)
    if wrote <= 0:
        return None
    after = _afterwards(reading, write_share, expected)
    return (writing + TRUST * after) / (wrote + TRUST) * (1 - min(wrote, 1.0))


def _afterwards(reading: float, write_share: float, expected: float) -> float:
    """What writing is expected to take."""
    return expected if write_share >= CALLS else reading * write_share / (1 - write_share)
