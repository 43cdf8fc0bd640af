"""The memory budget of a worker: how the bytes that a worker was given are shared out among its buffers.

    given = baseline (interpreter, libraries, code)
          + store     shards held in memory                     whole job
          + working   one lease at a time and slot:
              transfer: decoded batch, its gathered copy, its serialised shards
              write:    read-back buffer, decoded rows, the sorted copy, the Parquet encoder
          + send      shards waiting for or in flight to peers  while transferring
          + receive   bodies of frames being received           while transferring
          + functions processes of the user's functions         where the job has any

Resident memory is 1.6 to 1.9 times the live Arrow bytes, because allocators keep freed pages; the shares below leave
that room (`HEADROOM`). Each buffer may overshoot its budget by one item, then blocks.
"""

from __future__ import annotations

from msgspec import Struct, structs

MIB = 1 << 20
LEAST_STREAM = 64 << 10
"""The least buffer of one column of a Parquet file that is read, in bytes."""

MINIMUM = 256 * MIB
"""The least memory a worker can be given; below it the interpreter and the libraries leave no room for data."""

LEAST_FUNCTIONS = 128 * MIB
"""The least memory of the processes of a job's functions: one with Arrow and pandas in it, and some rows."""

HEADROOM = 1.5
"""Resident bytes for every live byte of a buffer that comes and goes (docs/memory.md); `pressure.py` gives
back what exceeds it."""


class Budgets(Struct, frozen=True):
    """Bytes for each buffer of one worker process. `for_limit` derives them; their sum, with the baseline and the
    headroom, is the limit."""

    limit: int
    baseline: int
    store: int
    working: int
    send: int
    receive: int
    functions: int = 0
    """Besides, for the processes of a lease that functions of the user's run in."""

    def shared_by(self, called: int) -> Budgets:
        """With what each has of so many functions: `functions` is for one process then."""
        return structs.replace(self, functions=self.functions // max(called, 1))

    @classmethod
    def for_limit(cls, limit: int, baseline: int = 130 * MIB, slots: int = 1, functions: int = 0) -> Budgets:
        """Share out `limit` bytes, less `functions` of them for processes of the user's functions. `working` is for one
        slot; transfer buffers scale with neither peers nor slots."""
        limit -= functions
        free = max(limit - baseline, 64 * MIB)
        store = int(free * 0.35)
        send = min(int(free * 0.12), 256 * MIB)
        receive = min(int(free * 0.08), 128 * MIB)
        working = int((free - store - send - receive) / HEADROOM / max(slots, 1))
        return cls(
            limit=limit,
            baseline=baseline,
            store=store,
            working=working,
            send=send,
            receive=receive,
            functions=functions // max(slots, 1),
        )
