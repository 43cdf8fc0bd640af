"""Who the network policies let in, the chart's and those that the operator makes for jobs, by labels that pods have:
selectors evaluated as Kubernetes does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.chart.rendered import Objects, Render
from tests.operator.stage import sort_job

from shuffle_operator.api.validation import check_job
from shuffle_operator.launchers.isolation import network_policy
from shuffle_operator.launchers.pod import PORT, PodSettings, Trust, worker_pod

Object = dict[str, Any]
SETTINGS = PodSettings(image="w:1", coordinator="http://o:8080", secure="https://o:8443", instance="shuffle-operator")


def pod(namespace: str, labels: dict[str, str]) -> Object:
    return {"metadata": {"namespace": namespace, "labels": labels}}


def worker(namespace: str = "a", uid: str = "uid-1", number: int = 0, **workers: Any) -> Object:
    job = check_job(sort_job(Path("/in"), Path("/out"), workers=workers or {"replicas": 2}))
    made = worker_pod(job, uid, number, 0, 1 << 30, Trust("ab" * 32, "cd" * 32), SETTINGS)
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
    assert all(policy["spec"]["policyTypes"] == ["Ingress"] for policy in policies)
    return not policies or any(
        port in {each["port"] for each in rule["ports"] if each["protocol"] == "TCP"}
        and ("from" not in rule or any(is_peer(peer, policy, source) for peer in rule["from"]))
        for policy, rule in rules
    )


def policy(namespace: str, uid: str) -> Object:
    """As it is when the API server has it. Jobs have one name here: names tell nothing apart."""
    made = network_policy("sorted", uid, 2)
    made["metadata"]["namespace"] = namespace
    return made


@pytest.fixture(params=[{"namespaces": ["a", "b"]}, {"scope": "Cluster"}], ids=["listed", "all"])
def objects(render: Render, request: pytest.FixtureRequest) -> Objects:
    """Two jobs in one namespace, one in another."""
    jobs = [policy("a", "uid-1"), policy("a", "uid-2"), policy("b", "uid-3")]
    return render({**request.param, "networkPolicy": {"enabled": True}}) + jobs


def test_workers_of_a_job_reach_each_other_and_the_operator(objects: Objects) -> None:
    assert may(objects, worker(number=1), worker(), PORT)
    assert may(objects, worker(), worker(number=1), PORT)
    assert may(objects, worker(), worker(number=1), PORT + 1), "the second worker of a pod"
    assert not may(objects, worker(), worker(number=1), PORT + 2)
    assert may(objects, worker("a", "uid-2"), worker("a", "uid-2", 1), PORT)
    assert may(objects, worker("b", "uid-3"), worker("b", "uid-3", 1), PORT)
    assert may(objects, worker("a"), operator(objects), 8443)
    assert may(objects, worker("b", "uid-3"), operator(objects), 8080)


def test_no_other_jobs_workers_reach_them(objects: Objects) -> None:
    assert not may(objects, worker("a", "uid-2"), worker("a", "uid-1"), PORT)
    assert not may(objects, worker("a", "uid-1"), worker("a", "uid-2"), PORT)
    assert not may(objects, worker("b", "uid-3"), worker("a", "uid-1"), PORT), "another namespace's"
    assert not may(objects, worker("b", "uid-1"), worker("a", "uid-1"), PORT), "of another namespace, with its labels"


def test_one_jobs_policy_says_nothing_of_other_pods(objects: Objects) -> None:
    """Not even of another job's, whose own is still to come."""
    mine = [policy("a", "uid-1")]
    assert may(mine, pod("a", {}), worker("a", "uid-2"), PORT)
    assert may(mine, pod("a", {}), worker("b", "uid-1"), PORT)
    assert may(mine, pod("b", {}), pod("a", {"app.kubernetes.io/component": "worker"}), PORT)


def test_nobody_else_reaches_either(objects: Objects) -> None:
    almost = {"app.kubernetes.io/name": "shuffle-operator", "app.kubernetes.io/component": "doctor"}
    strangers = [pod("a", {}), pod("a", {"app": "x"}), pod("a", almost), pod("shuffle", {}), operator(objects)]
    # The operator is among them: it never calls a worker.
    for stranger in strangers:
        assert not may(objects, stranger, worker(), PORT)
        assert not may(objects, stranger, operator(objects), 8443)
    assert not may(objects, worker(), worker(), 22)


def test_a_job_cannot_take_its_pods_out_of_the_policies(objects: Objects) -> None:
    """Nor can one with other labels of its own be kept from the operator."""
    labels = {"app.kubernetes.io/name": "x", "app.kubernetes.io/component": "y"}
    for mine in (worker(labels=labels), worker(podTemplate={"metadata": {"labels": labels}})):
        assert not may(objects, pod("a", {}), mine, PORT)
        assert may(objects, mine, operator(objects), 8443)


PAGES = {"enabled": True, "port": 8091, "tokenSecret": {"name": "pages"}}
PROXY = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "proxy"}}}


@pytest.mark.parametrize(
    ("dashboard", "proxys", "others"),
    [({}, False, False), (PAGES, True, True), ({**PAGES, "from": [PROXY]}, True, False)],
)
def test_who_reaches_the_jobs_pages(render: Render, dashboard: Object, proxys: bool, others: bool) -> None:
    objects = render({"networkPolicy": {"enabled": True}, "dashboard": dashboard})
    target = operator(objects)
    assert may(objects, pod("web", {"app": "proxy"}), target, 8091) is proxys
    assert may(objects, pod("web", {}), target, 8091) is others
    for port in (8080, 8443):
        assert not may(objects, pod("web", {"app": "proxy"}), target, port)
