"""Join: rows of two inputs side by side, where their keys agree."""

from __future__ import annotations

from shuffle_protocol.jobs import Job, Join, StarJoin
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Join) -> Planning:
    from shuffle_worker.operations.join.plan import JoinPlanning

    return JoinPlanning(job, operation)


def operation(given: Given, asked: Join) -> Operation:
    if given.plan.broadcast:
        from shuffle_worker.operations.join.broadcast import BroadcastJoin
        from shuffle_worker.operations.join.shape import shape_of

        return BroadcastJoin(given, [shape_of(given.plan)])
    from shuffle_worker.operations.join.rows import JoinOperation

    return JoinOperation(given, asked)


def star_planning(job: Job, operation: StarJoin) -> Planning:
    from shuffle_worker.operations.join.star import StarPlanning

    return StarPlanning(job, operation)


def star_operation(given: Given, _: StarJoin) -> Operation:
    from shuffle_worker.operations.join.broadcast import BroadcastJoin
    from shuffle_worker.operations.join.star import shapes_of

    return BroadcastJoin(given, shapes_of(given.plan))
