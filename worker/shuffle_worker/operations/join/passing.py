"""How many of all pairs of a cross join pass its condition, as far as a sample shows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, take
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import sample_rows
from shuffle_worker.operations.join.shape import JoinShape

ROWS = 256
"""Of each side; all pairs of them are judged."""


def passing_share(shape: JoinShape, left: PlannedInput, right: PlannedInput) -> float:
    """1.0 where there is no condition; else never less than of one pair of those seen. It depends on the data alone."""
    if shape.condition is None:
        return 1.0
    rows = [_some(one, names) for one, names in zip((left, right), shape.condition.columns, strict=True)]
    counts = [batch.num_rows for batch in rows]
    if not all(counts):
        return 1.0
    numbers = [np.arange(count, dtype=np.int64) for count in counts]
    lefts: I64 = np.repeat(numbers[0], counts[1])
    rights: I64 = np.tile(numbers[1], counts[0])
    holds = shape.judge(rows[0], rows[1]).holds(lefts, rights)
    return max(float(holds.mean()), 1 / len(holds))


def _some(one: PlannedInput, names: list[str]) -> pa.RecordBatch:
    """Evenly spread rows of a sample."""
    names = names or one.sent.names[:1]
    found = sample_rows(one.files, one.row_groups, names)
    step = max(found.num_rows // ROWS, 1)
    return take(found, np.arange(0, found.num_rows, step, dtype=np.int64)[:ROWS])
