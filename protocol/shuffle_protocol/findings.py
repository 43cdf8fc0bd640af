"""What `shuffle doctor` and the pod that it starts say to each other: `python -m shuffle_worker.worker.check`."""

from __future__ import annotations

from msgspec import Struct

VARIABLE = "SHUFFLE_CHECK"
"""Of the pod's environment: the job as JSON. Each finding is a line of JSON on its standard output."""


class Finding(Struct, frozen=True):
    """What one check of a store found."""

    what: str
    """What was tried."""
    ok: bool
    said: str
    """What came of it."""
