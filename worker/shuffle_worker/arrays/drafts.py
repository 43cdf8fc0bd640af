"""An array while it is planned, and the memory that its leases need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from shuffle_protocol.errors import OutOfMemory
from shuffle_protocol.memory import LEAST_FUNCTIONS, MIB, MINIMUM, Budgets
from shuffle_protocol.units import readable
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import is_variable
from shuffle_worker.arrays.halos import block_bytes, call_bytes
from shuffle_worker.arrays.looking import Look
from shuffle_worker.arrays.metadata import Target
from shuffle_worker.arrays.reader import STEP_BYTES
from shuffle_worker.arrays.record import ArrayPlan
from shuffle_worker.arrays.source import ArraySource
from shuffle_worker.arrays.writer import READ_BYTES


class Drafted(NamedTuple):
    """An array while it is planned."""

    source: ArraySource
    target: Target
    document: bytes
    attributes: dict[str, object]
    plan: ArrayPlan
    look: Look
    plain: bool
    """Input chunks need no decoding, so they are used in the buffer that they were read to."""
    plain_target: bool
    """Output chunks need no encoding, so they are written from the buffer that they were assembled in."""
    notes: tuple[str, ...]
    """What changes for readers."""


class FunctionMemory(NamedTuple):
    """Bytes of the processes of functions."""

    given: int
    """Of a worker's memory."""
    base: int
    """What one has in use before it is given a block."""


def unit_bytes(draft: Drafted) -> tuple[int, int]:
    """The least memory of a lease that reads and of one that writes: for one chunk, for one object."""
    plan = draft.plan
    chunk = math.prod(axis.chunk for axis in plan.axes) * plan.itemsize
    stored = 1 if draft.plain else 2  # if the bytes are the elements, they are in memory once
    variable = 2 if is_variable(draft.source.metadata.dtype.to_native_dtype()) else 1
    encoded = 2 if draft.target.shards is not None else 0 if draft.plain_target else 1
    reading = variable * stored * chunk + 2 * STEP_BYTES
    if plan.called is not None:
        frame = math.prod(min(axis.item, max(axis.length, 1)) + axis.halo for axis in plan.axes) * plan.itemsize
        return reading, frame + call_bytes(plan) + (1 + encoded) * plan.item_bytes + 2 * READ_BYTES
    return reading, variable * (1 + encoded) * plan.item_bytes + 2 * READ_BYTES


def memory_needed(drafts: Sequence[Drafted], budgets: Budgets, functions: FunctionMemory) -> int:
    """The least memory of a worker. Raises OutOfMemory, with what would be enough, if it has less."""
    needed = MINIMUM + (LEAST_FUNCTIONS if functions.given else 0)
    for draft in drafts:
        reading, writing = unit_bytes(draft)
        least = _limit_for(max(reading, writing))
        called = max(functions.base + call_bytes(draft.plan), LEAST_FUNCTIONS) if functions.given else 0
        needed = max(needed, least + called)
        if budgets.limit >= least:
            continue
        where = draft.source.path or "the array"
        item = draft.target.shards or draft.target.chunks
        kind = "shard" if draft.target.shards is not None else "chunk"
        if writing >= reading:
            what = f"an output {kind} of {where}, {grid.told(item)}, is {readable(draft.plan.item_bytes)}"
            if draft.plan.called is not None:
                what += f" and a block of it with its halo {readable(block_bytes(draft.plan))}"
            instead = f", or a smaller {kind}"
        else:
            chunk = math.prod(axis.chunk for axis in draft.plan.axes) * draft.plan.itemsize
            what = f"an input chunk of {where} is {readable(chunk)}"
            instead = ""
        has = budgets.limit + functions.given
        # Where the job does not say what functions get, it is a share of all: more memory is more for them too.
        enough = math.ceil(least * has / budgets.limit / MIB)
        of_them = f", with {readable(functions.given)} or more of them for functions" if functions.given else ""
        raise OutOfMemory(
            f"workers.resources.limits.memory: {readable(has)} for each worker is too little: {what} in memory; that "
            f"takes {enough}Mi{of_them}{instead}"
        )
    return needed


def _limit_for(working: int) -> int:
    limit = MINIMUM
    while Budgets.for_limit(limit).working < working:
        limit += max(16 * MIB, (working - Budgets.for_limit(limit).working))
    return limit
