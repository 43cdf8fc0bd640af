"""Distinct: one row for each key."""

from __future__ import annotations

from shuffle_protocol.jobs import Distinct, Job
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Distinct) -> Planning:
    from shuffle_worker.operations.distinct.plan import DistinctPlanning

    return DistinctPlanning(job, operation)


def operation(given: Given, asked: Distinct) -> Operation:
    from shuffle_worker.operations.distinct.rows import DistinctOperation

    return DistinctOperation(given, asked)
