"""Window: columns computed of the rows around each row."""

from __future__ import annotations

from shuffle_protocol.jobs import Job, Window
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Window) -> Planning:
    from shuffle_worker.operations.window.plan import WindowPlanning

    return WindowPlanning(job, operation)


def operation(given: Given, asked: Window) -> Operation:
    from shuffle_worker.operations.window.rows import WindowOperation

    return WindowOperation(given, asked)
