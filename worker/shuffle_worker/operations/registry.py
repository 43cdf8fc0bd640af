"""Every operation that a job can ask for, by its message. What one needs is imported when a job asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import (
    Apply,
    Cluster,
    Distinct,
    GroupBy,
    Job,
    Join,
    RandomOrder,
    Repartition,
    Sort,
    StarJoin,
    Window,
)
from shuffle_worker.operations import apply, cluster, distinct, group_by, join, random_order, repartition, sort, window
from shuffle_worker.runtime.heap import keep_freed_memory
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


class RegisteredOperation(NamedTuple):
    planning: Callable[[Job, Any], Planning]
    """What it decides while the job is planned."""
    operation: Callable[[Given, Any], Operation]
    """What it does with rows."""


OPERATIONS: dict[type, RegisteredOperation] = {
    Apply: RegisteredOperation(apply.planning, apply.operation),
    Cluster: RegisteredOperation(cluster.planning, cluster.operation),
    Distinct: RegisteredOperation(distinct.planning, distinct.operation),
    GroupBy: RegisteredOperation(group_by.planning, group_by.operation),
    Join: RegisteredOperation(join.planning, join.operation),
    RandomOrder: RegisteredOperation(random_order.planning, random_order.operation),
    Repartition: RegisteredOperation(repartition.planning, repartition.operation),
    Sort: RegisteredOperation(sort.planning, sort.operation),
    StarJoin: RegisteredOperation(join.star_planning, join.star_operation),
    Window: RegisteredOperation(window.planning, window.operation),
}


def planning_for(job: Job) -> Planning:
    """Raises InvalidSpec for an operation that this version does not know."""
    return _entry(job).planning(job, job.operation)


def operation_for(given: Given) -> Operation:
    keep_freed_memory()
    return _entry(given.plan.job).operation(given, given.plan.job.operation)


def _entry(job: Job) -> RegisteredOperation:
    entry = OPERATIONS.get(type(job.operation))
    if entry is None:
        raise InvalidSpec(f"operation: {type(job.operation).__name__} cannot be carried out by this version")
    return entry
