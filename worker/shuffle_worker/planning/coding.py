"""Which columns travel as codes (`columns/coded.py`): text of few values that rows only carry, from files of Parquet to
files of Parquet.

It depends on the data and the job alone. Files are the same either way, but for dictionaries that are too large for
their page, which Parquet has for columns of many values.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.jobs import Job
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.steps.planning import Planning

MOST_BYTES = 64 << 10
"""Of the values of all columns: they stand in the plan, and before whatever a worker reads back."""


class CodedText(NamedTuple):
    """The columns that travel as codes."""

    values: dict[str, list[str]]
    """By column of the result, the values that a sample had."""
    inputs: list[dict[str, str]]
    """Of each input its columns, with the names that they have in the result."""


def coding(job: Job, operation: Planning, inputs: Sequence[PlannedInput], dictionary: Collection[str]) -> CodedText:
    """dictionary: the columns that are written with one."""
    output = job.output
    found = CodedText({}, [{} for _ in inputs])
    shaped = output.compute or output.filter or output.columns is not None or output.partition_by
    if shaped or output.format != "Parquet" or len(job.inputs) != len(inputs):
        return found
    looked_at = {key.column for key in output.sort_within}
    left = MOST_BYTES
    every = zip(inputs, operation.carried([one.schema for one in inputs]), found.inputs, strict=True)
    for one, carried, names in every:
        for name, values in _few_values(one, operation).items():
            written = carried.get(name, "")
            size = sum(map(len, values))
            if written in dictionary and written not in looked_at and size <= left:
                found.values[written] = list(values)
                names[name] = written
                left -= size
    return found


def _few_values(one: PlannedInput, operation: Planning) -> dict[str, Sequence[str]]:
    """The text columns of an input that nothing looks at before they come to the operation, and that are no keys."""
    if one.format != "Parquet" or one.source.map or one.source.compute:
        return {}
    looked_at = {key.column for key in operation.keys() if key.input == one.number}  # noqa: SIM118 - it is no dictionary
    looked_at |= set(one.where.columns if one.where is not None else ())
    looked_at |= {name for file in one.files for name in file.hive}
    text = {field.name for field in one.schema if field.type == pa.string()} - looked_at
    return {name: values for name, values in one.look.values.items() if name in text}
