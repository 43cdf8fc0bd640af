"""Group by: aggregates of the rows of each key, partly made before rows are sent."""

from __future__ import annotations

from shuffle_protocol.jobs import GroupBy, Job
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: GroupBy) -> Planning:
    from shuffle_worker.operations.group_by.plan import GroupByPlanning

    return GroupByPlanning(job, operation)


def operation(given: Given, asked: GroupBy) -> Operation:
    from shuffle_worker.operations.group_by.rows import GroupByOperation

    return GroupByOperation(given, asked)
