"""Which columns can be keys: there, selected, and of a type that has an order and one canonical form. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.partitioning.hash import can_hash
from shuffle_worker.partitioning.order import can_order
from shuffle_worker.plan.inputs import check_column
from shuffle_worker.protocol.messages import Job, Repartition, Sort


def named_keys(job: Job) -> list[tuple[str, str]]:
    """Every column that the job uses as a key, with the field that names it."""
    operation = job.operation
    keys: list[tuple[str, str]] = []
    if isinstance(operation, Repartition):
        keys += [(name, f"operation.repartition.by[{at}]") for at, name in enumerate(operation.by)]
        keys += [(name, f"operation.repartition.range[{at}]") for at, name in enumerate(operation.range)]
    if isinstance(operation, Sort):
        keys += [(key.column, f"operation.sort.by[{at}].column") for at, key in enumerate(operation.by)]
    keys += [(key.column, f"output.sortWithin[{at}]") for at, key in enumerate(job.output.sort_within)]
    return keys


def check_keys(job: Job, schema: pa.Schema, output: pa.Schema) -> None:
    """schema: of the whole input; output: of the columns kept. Raises InvalidSpec."""
    if isinstance(job.operation, Sort) and not job.operation.by:
        raise InvalidSpec("operation.sort.by: is empty; name the columns to sort by")
    for name, where in named_keys(job):
        check_column(name, schema.names, where)
        if output.get_field_index(name) < 0:
            raise InvalidSpec(f"{where}: {name!r} is a key but not among inputs[0].columns; add it there")
        kind = output.field(name).type
        if not (can_order(kind) and can_hash(kind)):
            raise InvalidSpec(
                f"{where}: {name!r} is {kind}, which can be neither ordered nor hashed as a key; "
                "choose a column of numbers, text, bytes, times or booleans"
            )
    if isinstance(job.operation, Repartition):
        refuse_twice(job.operation.by, "operation.repartition.by")
        refuse_twice(job.operation.range, "operation.repartition.range")
    else:
        refuse_twice([key.column for key in job.operation.by], "operation.sort.by")
    refuse_twice([key.column for key in job.output.sort_within], "output.sortWithin")


def refuse_twice(names: Sequence[str], where: str) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise InvalidSpec(f"{where}: {twice!r} is named twice")
