"""How shards travel, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from shuffle_operator.api.preemptible import preemptible
from shuffle_operator.api.workers import Workers
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_worker.plan.method import choose

GIB = 1 << 30


def job(path: str = "s3://bucket/out", workers: int = 4, **more: Any) -> Job:
    return Job("uid", "job", Repartition(), [Input(["s3://bucket/in"])], Output(path), workers, GIB, **more)


@pytest.mark.parametrize(
    ("given", "splits", "moved", "chosen", "reason"),
    [
        (job(method="ObjectStore"), 10, GIB, "ObjectStore", "asked for"),
        (job(method="PeerToPeer", preemptible=True), 10, 100 * GIB, "PeerToPeer", "asked for"),
        (job(), 10, 100 * GIB, "PeerToPeer", "once"),
        (job(preemptible=True), 100, 100 * GIB, "ObjectStore", "preemptible"),
        (job(preemptible=True), 100, GIB, "PeerToPeer", "little to lose"),
        (job("/data/out", preemptible=True), 100, 100 * GIB, "PeerToPeer", "a folder"),
        (job(preemptible=True), 100_000, 100 * GIB, "PeerToPeer", "10,000,000 requests"),
        (job(workers=200), 100, 100 * GIB, "ObjectStore", "200 workers"),
        (job(workers=200), 10_000, GIB, "PeerToPeer", "1,000,000 requests"),
    ],
)
def test_the_choice(given: Job, splits: int, moved: int, chosen: str, reason: str) -> None:
    found = choose(given, splits, 100, moved)
    assert found.name == chosen
    assert reason in found.reason


@pytest.mark.parametrize(
    ("workers", "answer"),
    [
        ({}, False),
        ({"nodeSelector": {"cloud.google.com/gke-spot": "true"}}, True),
        ({"nodeSelector": {"cloud.google.com/gke-spot": "false"}}, False),
        ({"nodeSelector": {"eks.amazonaws.com/capacityType": "SPOT"}}, True),
        ({"nodeSelector": {"karpenter.sh/capacity-type": "on-demand"}}, False),
        ({"tolerations": [{"key": "kubernetes.azure.com/scalesetpriority", "operator": "Exists"}]}, True),
        ({"tolerations": [{"key": "dedicated", "operator": "Exists"}, {"operator": "Exists"}]}, False),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            True,
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "x": [{"key": "karpenter.sh/capacity-type", "operator": "NotIn", "values": ["spot"]}]
                    }
                }
            },
            False,
        ),
        ({"affinity": {"nodeAffinity": [1, None, {"operator": "In", "values": 3}]}}, False),
    ],
)
def test_what_is_preemptible(workers: dict[str, Any], answer: bool) -> None:
    assert preemptible(Workers.model_validate(workers)) is answer
