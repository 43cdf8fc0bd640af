"""What the leases of a job need of a worker's `Budgets.working`. The store has the rest (`Budgets.for_job`).

These are estimates, from the plan's mean of a row, and nothing breaks where they are wrong: a lease keeps to what it is
given, so batches of wider rows have fewer rows, and a larger bucket is read in pieces, or sorted on scratch. They are
so generous that this is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shuffle_protocol.memory import MIB, Budgets
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.sizing import ROW_GROUP_BYTES
from shuffle_worker.readers.files import RUN
from shuffle_worker.steps.operation import READER_PART, SPLITTER_PART, batch_bytes_of
from shuffle_worker.steps.planning import Planning
from shuffle_worker.steps.splitter import batch_rows
from shuffle_worker.storage.storage import Storage

UNEVEN = 1.5
"""How much larger than the plan's mean a batch or a bucket may be."""

BATCHES = 4
"""Of a batch that is read: as it was decoded, brought to the plan's types, gathered, serialised."""

BESIDES = 8 * MIB
"""What reading takes besides: cells and orders of a batch, footers."""

STREAM = 2 * MIB
"""Of a Parquet column that is streamed: its buffer, a page, a dictionary."""

TEXT = 24 * MIB
"""Of other formats: the blocks that are parsed at once."""

SCATTERED = 4
"""Copies of a bucket of several partitions: as it was read, as it was scattered, put together, and scattered again."""

ENCODED = 4
"""Of a row group that is written: its rows, their pages, the pages compressed, and what waits for the sink."""


class LeaseNeeds(NamedTuple):
    """Bytes for a lease that reads and for one that writes; 0: all that a worker has."""

    reading: int
    writing: int


ALL = LeaseNeeds(0, 0)


def needs(
    operation: Planning,
    inputs: Sequence[PlannedInput],
    storages: Sequence[Storage],
    layout: Layout,
    sent: float,
    row_group: float,
    budgets: Budgets,
) -> LeaseNeeds:
    """inputs, storages: each by itself. sent: bytes of all rows that go through the store. row_group: bytes of one."""
    held_whole = operation.broadcast or operation.aligned  # sides of a join, by every worker or file by file
    by_function = any(one.mapped is not None or one.source.reader for one in inputs)
    if held_whole or by_function or operation.job.output.partition_by:
        return ALL
    encoded = ENCODED * max(row_group, ROW_GROUP_BYTES)
    reading = max(
        encoded,  # for groups that are written while shards come and go
        *(_reading(operation, *each, layout, budgets) for each in zip(inputs, storages, strict=True)),
    )
    writing = _writing(operation, layout, sent, budgets) + encoded
    return LeaseNeeds(*(int(need) if need < budgets.working else 0 for need in (reading, writing)))


def _reading(operation: Planning, one: PlannedInput, storage: Storage, layout: Layout, budgets: Budgets) -> float:
    row_bytes = max(one.look.row_bytes, one.look.read_bytes) + operation.key_bytes
    batch = UNEVEN * batch_rows(layout.buckets, row_bytes, batch_bytes_of(budgets)) * row_bytes
    bloom = len(operation.partners.bloom) if operation.partners is not None else 0
    held, ahead = _held_by_reader(one, storage, budgets)
    return max(
        BATCHES * batch + held + ahead + operation.map_bytes + BESIDES + 2 * bloom,
        SPLITTER_PART * batch + 2 * bloom,  # these have fixed parts of what a lease has
        READER_PART * ahead,
    )


def _held_by_reader(one: PlannedInput, storage: Storage, budgets: Budgets) -> tuple[float, float]:
    """Bytes of streams and blocks, and bytes that are fetched or parsed ahead within the reader's budget."""
    if one.format != "Parquet":
        return 1.5 * one.decoded, TEXT
    streams = STREAM * len(one.read)
    if not one.files or storage.native(one.files[0].info.path) is not None:
        return streams, 0
    row_group = UNEVEN * one.stored / max(len(one.row_groups), 1)
    return streams, min(max(row_group, RUN), budgets.working // READER_PART)


def _writing(operation: Planning, layout: Layout, sent: float, budgets: Budgets) -> float:
    """Without the row group that is encoded."""
    if operation.copies is None:
        return budgets.working
    output = operation.job.output
    copies = operation.copies + (1 if output.compute or output.filter else 0)
    bucket = UNEVEN * sent / layout.buckets
    if layout.partitions > layout.groups:
        copies = max(copies, SCATTERED)
    elif copies == 1:
        bucket = min(bucket, budgets.working // 4)  # one that is passed on is read in such pieces
    return copies * bucket
