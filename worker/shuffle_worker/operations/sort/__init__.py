"""Sort: a global order over all files."""

from __future__ import annotations

from shuffle_protocol.jobs import Job, Sort
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Sort) -> Planning:
    from shuffle_worker.operations.sort.plan import SortPlanning

    return SortPlanning(job, operation)


def operation(given: Given, asked: Sort) -> Operation:
    from shuffle_worker.operations.sort.rows import SortOperation

    return SortOperation(given, asked)
