"""Which class plans which operation (`steps/planning.py` says what such a class decides)."""

from __future__ import annotations

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.messages import AnyOperation, Apply, Distinct, GroupBy, Job, Join, Repartition, Sort
from shuffle_worker.operations.repartition.plan import RepartitionPlanning
from shuffle_worker.operations.sort.plan import SortPlanning
from shuffle_worker.steps.planning import Planning


def planning_for(job: Job) -> Planning:
    operation: AnyOperation = job.operation
    if isinstance(operation, Repartition):
        return RepartitionPlanning(job, operation)
    if isinstance(operation, Sort):
        return SortPlanning(job, operation)
    if isinstance(operation, GroupBy):
        from shuffle_worker.operations.group_by.plan import GroupByPlanning

        return GroupByPlanning(job, operation)
    if isinstance(operation, Distinct):
        from shuffle_worker.operations.group_by.plan import DistinctPlanning

        return DistinctPlanning(job, operation)
    if isinstance(operation, Join):
        from shuffle_worker.operations.join.plan import JoinPlanning  # which is made of what is here

        return JoinPlanning(job, operation)
    if isinstance(operation, Apply):
        from shuffle_worker.operations.apply.plan import ApplyPlanning

        return ApplyPlanning(job, operation)
    raise InvalidSpec(f"operation: {type(operation).__name__} cannot be carried out by this version")
