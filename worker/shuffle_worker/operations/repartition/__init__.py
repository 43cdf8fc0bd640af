"""Repartition: rows to files by hash, by range or in turn."""

from __future__ import annotations

from shuffle_protocol.jobs import Job, Repartition
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Repartition) -> Planning:
    from shuffle_worker.operations.repartition.plan import RepartitionPlanning

    return RepartitionPlanning(job, operation)


def operation(given: Given, asked: Repartition) -> Operation:
    from shuffle_worker.operations.repartition.rows import RepartitionOperation

    return RepartitionOperation(given, asked)
