"""The strategy of a join, and its skewed keys: whether both sides are shuffled or every worker gets the small one
whole; and which keys are so frequent that the rows of one of them are spread over several files. Called by `plan.py`.

What is decided here shows in the output (which file a row is in), so it depends on the data and the job alone: on row
counts, on the bytes of the rows that were looked at, never on workers or their memory.

    broadcast   a side of up to `BROADCAST_BYTES`, whose own rows need not be kept when they have no partner
    skewed keys    more than `SKEWED_BYTES` and `SKEWED_TIMES` what a file has on average, of a side each of whose rows
    can be
                judged by itself; the other side's rows of that key go to every file that has a part of them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import OutOfMemory
from shuffle_protocol.jobs import Join
from shuffle_protocol.memory import Budgets
from shuffle_protocol.units import readable
from shuffle_worker.columns.arrays import concat
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import first_kept, spread
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.plan.record import SkewedKey
from shuffle_worker.steps.operation import batch_bytes_of

BROADCAST_BYTES = 8 << 20
"""Bytes of a side that every worker can hold beside its work: the Arrow bytes of as many rows as its files have, and
`LOOKUP` for each."""

BROADCAST_TIMES = 4
"""The other side is at least so many times as large; else there is nothing to gain."""

SKEWED_BYTES = 32 << 20
SKEWED_TIMES = 3
SKEWED_PIECE = 8 << 20
"""Bytes of a skewed key's rows in one file, or half a file's average where that is more."""

MOST_SKEWED = 64
SAMPLED_GROUPS = 64
SAMPLED_ROWS = 2048
THREADS = 8

MOST_MEMORY = 1 << 44
"""Of a worker that an error proposes."""

_SPREAD_LEFT = ("Inner", "Left", "LeftSemi", "LeftAnti", "AsOf")
_SPREAD_RIGHT = ("Inner", "Right")


LOOKUP = 40
"""Bytes of a row of a broadcast side besides the row: what finds it by its key."""


def room(batch_bytes: int) -> int:
    """Bytes that a worker has for sides that are broadcast. batch_bytes: see `Given`; beside a splitter's three times
    that and the reader's batch, a third of the working memory is left."""
    return max(batch_bytes * 3 // 2, BROADCAST_BYTES)


class Broadcast(NamedTuple):
    """Whether a side of a join is broadcast."""

    input: int | None
    """The side that every worker gets, None where both are shuffled."""
    reason: str
    """Why, in words."""


def broadcast(join: Join, inputs: Sequence[PlannedInput]) -> Broadcast:
    if join.how == "Cross":
        return _of_cross(join, inputs)
    if join.as_of is not None:
        return Broadcast(None, "shuffled: an as-of join puts the right rows of a key in order where they come together")
    able = [at for at, hows in ((join.right, _SPREAD_LEFT), (join.left, _SPREAD_RIGHT)) if join.how in hows]
    if not able:
        return Broadcast(None, "shuffled: a full join keeps the rows of both sides, so neither can be broadcast")
    sizes = [one.rows * one.growth * one.look.row_bytes for one in inputs]
    small = min(able, key=lambda at: (sizes[at], at != join.right))
    name, size, other = inputs[small].said, readable(sizes[small]), sizes[1 - small]
    if any(one.rows < 0 for one in inputs):
        return Broadcast(None, "shuffled: how many rows the files have is not known before they are read")
    if sizes[small] + inputs[small].rows * inputs[small].growth * LOOKUP > BROADCAST_BYTES:
        return Broadcast(
            None,
            f"shuffled: {name} is about {size}, and what can be broadcast is {readable(BROADCAST_BYTES)} with {LOOKUP} "
            "bytes for each row",
        )
    if sizes[small] * BROADCAST_TIMES > other:
        return Broadcast(None, f"shuffled: {name} is small ({size}), and the other side not much larger")
    return Broadcast(small, f"broadcast: {name} is about {size}, so every worker reads it whole; the other stays put")


def _of_cross(join: Join, inputs: Sequence[PlannedInput]) -> Broadcast:
    small = min((join.right, join.left), key=lambda at: _held(inputs[at]))
    size = readable(_held(inputs[small]))
    return Broadcast(
        small, f"broadcast: {inputs[small].said} is the smaller side, about {size}, and every worker reads it whole"
    )


def _held(one: PlannedInput) -> float:
    """Bytes that a side takes where it is broadcast, of the rows that pass its filter."""
    return one.size.rows * (one.size.row_bytes + LOOKUP)


def check_room(sides: Sequence[PlannedInput], budgets: Budgets, what: str) -> None:
    """Raises OutOfMemory where the sides that must be broadcast are more than a worker holds. what: the join, for the
    error."""
    needed = sum(map(_held, sides))
    most = room(batch_bytes_of(budgets))
    if needed <= most:
        return
    limit = budgets.limit
    while limit < MOST_MEMORY and room(batch_bytes_of(Budgets.for_limit(limit))) < needed:
        limit += limit // 4
    parts = ", ".join(
        f"{one.said} is about {readable(_held(one))} ({one.size.rows:,.0f} rows of {readable(one.size.row_bytes)})"
        for one in sides
    )
    raise OutOfMemory(
        f"{what}: every worker holds {'these sides' if len(sides) > 1 else 'the smaller side'} in memory, and "
        f"{parts}; workers with {readable(budgets.limit)} have {readable(most)} for it. Give each about "
        f"{readable(limit)} (workers.resources.limits.memory), or make it smaller with inputs[].columns and "
        "inputs[].filter"
    )


def check_held(held: int, most: int, name: str, what: str) -> None:
    """The same once its rows are there. held: bytes so far."""
    if held > most:
        raise OutOfMemory(
            f"{what}: every worker holds {name} in memory, and its rows are {readable(held)} or more, not the "
            f"{readable(most)} that there is room for; give the workers more memory (workers.resources.limits.memory), "
            "or make it smaller with inputs[].columns and inputs[].filter"
        )


Sample = Callable[[PlannedInput], pa.RecordBatch | None]
"""The keys of some rows of an input that its filter keeps."""


class SkewedKeys(NamedTuple):
    """The skewed keys of a join."""

    spread: list[SkewedKey]
    """Those whose rows go to several files."""
    kept: list[SkewedKey]
    """Those whose rows stay together: a row of the other side must see all of them to know whether it has a partner."""


def skewed_keys(
    join: Join, inputs: Sequence[PlannedInput], keys: Sequence[JoinKeys], partitions: int, sample: Sample
) -> SkewedKeys:
    """keys: of each input."""
    total = sum(one.size.rows * one.size.row_bytes for one in inputs)
    spread_: dict[int, SkewedKey] = {}
    kept: dict[int, SkewedKey] = {}
    for at, hows in ((join.left, _SPREAD_LEFT), (join.right, _SPREAD_RIGHT)):
        found = spread_ if join.how in hows else kept
        for skewed in _of_side(inputs[at], keys[at], total / partitions, partitions, sample) if partitions > 1 else ():
            if skewed.hash not in found or found[skewed.hash].bytes < skewed.bytes:
                found[skewed.hash] = skewed
    return SkewedKeys(*(sorted(some.values(), key=_largest)[:MOST_SKEWED] for some in (spread_, kept)))


def _largest(skewed: SkewedKey) -> tuple[int, int]:
    return -skewed.bytes, skewed.hash


def _of_side(one: PlannedInput, keys: JoinKeys, average: float, partitions: int, sample: Sample) -> list[SkewedKey]:
    size = one.size.rows * one.size.row_bytes
    least = max(SKEWED_BYTES, SKEWED_TIMES * average)
    if size <= least:
        return []
    rows = sample(one)
    if rows is None:
        return []
    seen, first, counts = np.unique(keys.hashes(rows), return_index=True, return_counts=True)
    found: list[SkewedKey] = []
    for number in np.flatnonzero(counts * (size / rows.num_rows) > least).tolist():
        share = float(counts[number]) * size / rows.num_rows
        pieces = min(partitions, int(np.ceil(share / max(SKEWED_PIECE, average / 2))))
        if pieces > 1:
            text = ", ".join(str(rows.column(name)[int(first[number])].as_py()) for name in keys.names)
            found.append(SkewedKey(int(seen[number]), one.number, pieces, text[:100], int(share)))
    return found


def sample_of(one: PlannedInput, names: Sequence[str]) -> pa.RecordBatch | None:
    """The keys of the first rows of evenly spread row groups, those that the filter keeps."""

    def of(group: int) -> list[pa.RecordBatch]:
        at = groups[group]
        return list(first_kept(one.files[at.file], at.group, names, SAMPLED_ROWS))

    groups = spread(one.row_groups, SAMPLED_GROUPS)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="skew") as pool:
        found = [batch for batches in pool.map(of, range(len(groups))) for batch in batches if batch.num_rows]
    return concat(found) if found else None


def told(skewed: SkewedKey, join: Join, how: str, inputs: Sequence[PlannedInput], spread_: bool) -> str:
    """A skewed key in words. how: as the job has it."""
    names = join.left_on if skewed.input == join.left else join.right_on
    much = f"{', '.join(names)} = {skewed.key}: about {readable(skewed.bytes)} of {inputs[skewed.input].said}"
    if not spread_:
        return f"{much}, all in one file: a join of type {how} cannot spread them"
    other = inputs[1 - skewed.input].said
    return f"{much}, spread over {skewed.pieces} files; the rows of {other} with that key go to each of them"
