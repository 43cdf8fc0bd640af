"""Who the network policies let in, by the labels that pods really have: selectors evaluated as Kubernetes does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.chart.rendered import Objects, Render
from tests.operator.conftest import sort_job

from shuffle_operator.api.validation import check_job
from shuffle_operator.launchers.pod import PORT, PodSettings, Trust, worker_pod

Object = dict[str, Any]
SETTINGS = PodSettings(image="w:1", coordinator="http://o:8080", secure="https://o:8443", instance="shuffle-operator")


def pod(namespace: str, labels: dict[str, str]) -> Object:
    return {"metadata": {"namespace": namespace, "labels": labels}}


def worker(namespace: str = "a", **workers: Any) -> Object:
    job = check_job(sort_job(Path("/in"), Path("/out"), workers=workers or {"replicas": 2}))
    made = worker_pod(job, "uid-1", 0, 0, 1 << 30, Trust("ab" * 32, "cd" * 32), SETTINGS)
    return pod(namespace, made["metadata"]["labels"])


def operator(objects: Objects) -> Object:
    deployment = next(d for d in objects if d["kind"] == "Deployment")
    return pod("shuffle", deployment["spec"]["template"]["metadata"]["labels"])


def selected(selector: Object, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: Object, policy: Object, source: Object) -> bool:
    """Without a namespaceSelector only pods of the policy's own namespace are meant."""
    assert peer.keys() <= {"podSelector", "namespaceSelector"}
    here = source["metadata"]["namespace"] == policy["metadata"]["namespace"]
    everywhere = peer.get("namespaceSelector") == {}
    return (here or everywhere) and selected(peer.get("podSelector", {}), source["metadata"]["labels"])


def may(objects: Objects, source: Object, target: Object, port: int) -> bool:
    policies = [
        d
        for d in objects
        if d["kind"] == "NetworkPolicy"
        and d["metadata"]["namespace"] == target["metadata"]["namespace"]
        and selected(d["spec"]["podSelector"], target["metadata"]["labels"])
    ]
    rules = [(policy, rule) for policy in policies for rule in policy["spec"]["ingress"]]
    return not policies or any(
        port in {each["port"] for each in rule["ports"]} and any(is_peer(peer, policy, source) for peer in rule["from"])
        for policy, rule in rules
    )


@pytest.fixture
def objects(render: Render) -> Objects:
    return render({"namespaces": ["a", "b"], "networkPolicy": {"enabled": True}})


def test_workers_reach_each_other_and_the_operator(objects: Objects) -> None:
    assert may(objects, worker(), worker(), PORT)
    assert may(objects, worker("a"), operator(objects), 8443)
    assert may(objects, worker("b"), operator(objects), 8080)


def test_nobody_else_reaches_either(objects: Objects) -> None:
    almost = {"app.kubernetes.io/name": "shuffle-operator", "app.kubernetes.io/component": "doctor"}
    strangers = [pod("a", {}), pod("a", {"app": "x"}), pod("a", almost), pod("shuffle", {}), operator(objects)]
    for stranger in strangers:
        assert not may(objects, stranger, worker(), PORT)
        assert not may(objects, stranger, operator(objects), 8443)
    assert not may(objects, worker("b"), worker("a"), PORT), "another namespace's"
    assert not may(objects, worker(), worker(), 22)


def test_a_job_cannot_take_its_pods_out_of_the_policies(objects: Objects) -> None:
    """Nor can one with other labels of its own be kept from the operator."""
    labels = {"app.kubernetes.io/name": "x", "app.kubernetes.io/component": "y"}
    for mine in (worker(labels=labels), worker(podTemplate={"metadata": {"labels": labels}})):
        assert not may(objects, pod("a", {}), mine, PORT)
        assert may(objects, mine, operator(objects), 8443)
