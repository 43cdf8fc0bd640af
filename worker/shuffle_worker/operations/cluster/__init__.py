"""Cluster: rows in the order of a curve through several columns."""

from __future__ import annotations

from shuffle_protocol.jobs import Cluster, Job
from shuffle_worker.steps.operation import Given, Operation
from shuffle_worker.steps.planning import Planning


def planning(job: Job, operation: Cluster) -> Planning:
    from shuffle_worker.operations.cluster.plan import ClusterPlanning

    return ClusterPlanning(job, operation)


def operation(given: Given, asked: Cluster) -> Operation:
    from shuffle_worker.operations.cluster.rows import ClusterOperation

    return ClusterOperation(given, asked)
