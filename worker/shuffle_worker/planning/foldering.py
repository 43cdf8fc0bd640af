"""Whether the folders of `output.partitionBy` can be made: their names, and how many there are of them.

Called by the planner, with some thousand rows at first. Only where these have so many different values that there could
be more folders than a partition may have, the columns of more rows are read, until that is certain or `MOST_ROWS` were
seen. What is not seen here fails when the rows are written, in the same words.

Memory: a batch, and a number for each different value among `MOST_ROWS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Cluster, Distinct, GroupBy, Job, RandomOrder, Repartition, Sort, Window
from shuffle_worker.columns.arrays import Array
from shuffle_worker.columns.kinds import is_uuid, values_of
from shuffle_worker.columns.uuids import uuid_texts
from shuffle_worker.inputs.keyed import seen_keys
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import sample_rows
from shuffle_worker.output.folders import MOST_FOLDERS, check_name, folder_of, too_many
from shuffle_worker.partitioning.codes import dense

MOST_ROWS = 500_000
BATCH = 65_536


def check_values(job: Job, inputs: Sequence[PlannedInput], partitions: int) -> list[str]:
    """Raises InvalidSpec, naming column and limit. Returns notes for people. partitions: files but for folders."""
    by = job.output.partition_by
    if not by or not _are_the_inputs(job, by, inputs[0]):
        return []
    one = inputs[0]
    rows = sample_rows(one.files, one.row_groups, by)
    if not rows.num_rows:
        return []
    columns = _columns(one, rows, by)
    _check_names(job, by, columns)
    keys = seen_keys(columns)
    most = MOST_FOLDERS * partitions
    expected = keys.expected(one.size.rows)
    if isinstance(job.operation, Distinct) or expected <= MOST_FOLDERS:
        return []
    counted = keys.keys if keys.keys > most or expected <= most else _count(one, by, most)
    if counted > most:
        raise InvalidSpec(too_many(by, f"{counted:,} values or more, and {partitions:,} partitions", most))
    return [
        f"output.partitionBy: about {expected:,.0f} folders, by a sample; a partition with rows for more than "
        f"{MOST_FOLDERS:,} of them fails when it is written"
    ]


def _are_the_inputs(job: Job, by: Sequence[str], one: PlannedInput) -> bool:
    """Whether these columns of the output have just the values of the input's, but for rows that a filter drops."""
    if any(one.schema.get_field_index(name) < 0 or name in job.output.compute for name in by):
        return False
    if isinstance(job.operation, GroupBy):
        return all(name in job.operation.by for name in by)
    return isinstance(job.operation, Repartition | RandomOrder | Sort | Distinct | Cluster | Window)


def _columns(one: PlannedInput, rows: pa.RecordBatch, by: Sequence[str]) -> list[Array]:
    """As their folders are named: UUIDs by their texts."""
    uuids = {name for name in by if is_uuid(values_of(one.schema.field(name).type))}
    return [uuid_texts(rows.column(name)) if name in uuids else rows.column(name) for name in by]


def _check_names(job: Job, by: Sequence[str], columns: Sequence[Array]) -> None:
    for name, column in zip(by, columns, strict=True):
        for row in _firsts([column]):
            check_name(folder_of([name], [column], row), [name], job.output.path)


def _count(one: PlannedInput, by: Sequence[str], most: int) -> int:
    """How many different values there are; counting stops once there are certainly too many."""
    seen: set[int] = set()
    looked = 0
    for batch in _batches(one, by):
        columns = _columns(one, batch, by)
        seen.update(hash(folder_of(by, columns, row)) for row in _firsts(columns))
        looked += batch.num_rows
        if len(seen) > most or looked >= MOST_ROWS:
            break
    return len(seen)


def _firsts(columns: Sequence[Array]) -> list[int]:
    """For each combination of values the first row that has it."""
    codes, _ = dense(columns)
    firsts: list[int] = np.unique(codes, return_index=True)[1].tolist()
    return firsts


def _batches(one: PlannedInput, by: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These columns of all rows that come to the operation."""
    for group in one.row_groups:
        file = one.files[group.file]
        look = file.look
        read = look.needed(by)
        with file.open(look.storage, read, some=len(read) < len(look.target)) as source:
            shaper = file.shaper(source, read)
            for batch in source.batches([group.group], shaper.wanted, BATCH):
                yield look.kept(shaper.shape(batch), file.info.path, by)
