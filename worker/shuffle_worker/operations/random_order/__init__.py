"""Random order: every row at a random place of the whole output."""

from __future__ import annotations

from shuffle_protocol.jobs import Job, RandomOrder
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: RandomOrder) -> Planning:
    from shuffle_worker.operations.random_order.plan import RandomOrderPlanning

    return RandomOrderPlanning(job, operation)


def operation(given: Given, asked: RandomOrder) -> Operation:
    from shuffle_worker.operations.random_order.rows import RandomOrderOperation

    return RandomOrderOperation(given, asked)
