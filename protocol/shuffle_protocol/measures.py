"""What workers measure of themselves and their input, for people alone: no decision of the coordinator depends on it.

Parts of the messages in `messages.py`, and bounded like these.
"""

from __future__ import annotations

from msgspec import Struct

MOST_TILES = 32
"""Numbers in a `Received`."""


class Spent(Struct, frozen=True, array_like=True):
    """Seconds by what a worker, or a lease, spent them on. Threads that compute are counted, one second each."""

    read: float = 0.0
    """Fetching and decoding input."""
    compute: float = 0.0
    disk: float = 0.0
    """Writing to scratch and reading back from it; threads that store shards count as well."""
    write: float = 0.0
    """Encoding output and handing it to the store."""
    store: float = 0.0
    """Waiting for an object store that does not answer."""
    job: float = 0.0
    """Planning, committing, removing."""
    blocked: float = 0.0
    """With the budget for sending used up: receivers have not taken what is on its way. Of a worker alone."""
    held: float = 0.0
    """With a lease in hand, once for each, but no more than the worker has slots."""


class Received(Struct, frozen=True, array_like=True):
    """Bytes of shards that a worker took from others since it started. With every few reports only, and never more than
    `MOST_TILES` numbers: neighbouring slots count together."""

    step: int
    """How many slots count together; a power of two."""
    bytes: list[int]
    """From slots 0 to step - 1, step to 2 * step - 1, ..."""


class FrequentKey(Struct, frozen=True, array_like=True):
    """A key that many rows of the input have, by the sample that the plan looked at."""

    key: str
    """As text, with its columns."""
    bytes: int
    share: float
    """Of all rows."""
