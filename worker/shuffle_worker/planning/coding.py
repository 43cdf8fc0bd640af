"""Which columns travel as codes (`columns/coded.py`): text of few values that rows only carry, from a file of Parquet
to a file of Parquet.

It depends on the data and the job alone. Files are the same either way, but for dictionaries that are too large for
their page, which Parquet has for columns of many values.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.jobs import Job
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.steps.planning import Planning

MOST_BYTES = 64 << 10
"""Of the values of all columns: they stand in the plan, and before whatever a worker reads back."""


def coded_values(job: Job, operation: Planning, inputs: Sequence[PlannedInput]) -> dict[str, list[str]]:
    """By column, the values that a sample of it had."""
    output, one = job.output, inputs[0]
    shaped = output.compute or output.filter or output.columns is not None or output.partition_by
    if not operation.carries or len(job.inputs) > 1 or one.source.map or one.source.compute or shaped:
        return {}
    if output.format != "Parquet" or one.format != "Parquet":
        return {}
    looked_at = {key.column for key in operation.keys()}  # noqa: SIM118 - it is no dictionary
    looked_at |= {key.column for key in output.sort_within}
    looked_at |= set(one.where.columns if one.where is not None else ())
    looked_at |= {name for file in one.files for name in file.hive}
    found: dict[str, list[str]] = {}
    left = MOST_BYTES
    for name, values in one.look.values.items():
        size = sum(map(len, values))
        if name not in looked_at and one.schema.field(name).type == pa.string() and size <= left:
            found[name] = list(values)
            left -= size
    return found
