"""Apply: a function of the user's, called for each group or each partition."""

from __future__ import annotations

from shuffle_protocol.jobs import Apply, Job
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Apply) -> Planning:
    from shuffle_worker.operations.apply.plan import ApplyPlanning

    return ApplyPlanning(job, operation)


def operation(given: Given, asked: Apply) -> Operation:
    from shuffle_worker.operations.apply.rows import ApplyOperation

    return ApplyOperation(given, asked)
