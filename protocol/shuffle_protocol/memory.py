"""The memory budget of a worker: how the bytes that a worker was given are shared out among its buffers.

    given = baseline (interpreter, libraries, code)
          + store     shards held in memory                     whole job; more where leases need less (`for_job`)
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

import math

from msgspec import Struct, structs

MIB = 1 << 20
LEAST_STREAM = 64 << 10
"""The least buffer of one column of a Parquet file that is read, in bytes."""

MINIMUM = 256 * MIB
"""The least memory a worker can be given; below it the interpreter and the libraries leave no room for data."""

LEAST_FUNCTIONS = 128 * MIB
"""The least memory of the processes of a job's functions: one with Arrow and pandas in it, and some rows."""

LARGEST_FRAME = 8 * MIB
SMALLEST_FRAME = 256 << 10

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
    """For one lease, the most."""
    send: int
    receive: int
    functions: int = 0
    """Besides, for the processes of a lease that functions of the user's run in."""
    slots: int = 1
    """How many leases there are at once."""
    reading: int = 0
    """Of `working`, for a lease that reads, or one that writes while shards come and go."""
    writing: int = 0
    """Of `working`, for a lease that writes while hardly any shards come and go: one frame each way."""

    @property
    def frame(self) -> int:
        """Bytes from which on shards for one worker are sent."""
        return min(LARGEST_FRAME, max(SMALLEST_FRAME, self.send // 6))

    def for_job(self, reading: int, writing: int) -> Budgets:
        """For a job whose leases need so many bytes of `working`, by kind; 0: all. The store has what they leave.

        Shards come and go while workers read. By the time that they write, all have come, so what was for these is for
        writing or for the store. The hungrier of the two phases decides; leases of the other have what it leaves."""
        beside_reading, beside_writing = self.send + self.receive, 2 * self.frame
        phases = (
            beside_reading + self.resident(reading or self.working),
            beside_writing + self.resident(writing or self.working),
        )
        most = beside_reading + self.resident(self.working)
        taken = min(max(phases), most)
        of_leases = HEADROOM * self.slots
        return structs.replace(
            self,
            store=self.store + most - taken,
            reading=min(int((taken - beside_reading) / of_leases), self.working),
            writing=min(int((taken - beside_writing) / of_leases), self.working),
        )

    def resident(self, live: int) -> int:
        """Bytes that the leases of all slots take whose buffers hold so many."""
        return math.ceil(HEADROOM * self.slots * live)

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
            slots=max(slots, 1),
            reading=working,
            writing=working,
        )
