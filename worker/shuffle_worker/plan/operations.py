"""Which class plans which operation (`plan/planning.py` says what such a class decides)."""

from __future__ import annotations

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.planning import Planning
from shuffle_worker.plan.repartition import RepartitionPlanning
from shuffle_worker.plan.sort import SortPlanning
from shuffle_worker.protocol.messages import AnyOperation, Apply, Distinct, GroupBy, Job, Join, Repartition, Sort


def planning_for(job: Job) -> Planning:
    operation: AnyOperation = job.operation
    if isinstance(operation, Repartition):
        return RepartitionPlanning(job, operation)
    if isinstance(operation, Sort):
        return SortPlanning(job, operation)
    if isinstance(operation, GroupBy):
        from shuffle_worker.plan.grouping import GroupByPlanning

        return GroupByPlanning(job, operation)
    if isinstance(operation, Distinct):
        from shuffle_worker.plan.grouping import DistinctPlanning

        return DistinctPlanning(job, operation)
    if isinstance(operation, Join):
        from shuffle_worker.plan.join import JoinPlanning  # which is made of what is here

        return JoinPlanning(job, operation)
    if isinstance(operation, Apply):
        from shuffle_worker.plan.apply import ApplyPlanning

        return ApplyPlanning(job, operation)
    raise InvalidSpec(f"operation: {type(operation).__name__} cannot be carried out by this version")
