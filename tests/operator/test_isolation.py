"""Each job's NetworkPolicy over its life: there before its first pod, gone after its last; what rights it takes, and
what happens where it cannot be had. Whom it lets in: tests/chart/test_network_policy.py."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.handlers.rbac import ISOLATION
from shuffle_operator.kube.api import JOBS, NETWORK_POLICIES, KubeError, Object
from shuffle_operator.launchers.isolation import policy_name
from shuffle_operator.launchers.pod import LABEL_UID, is_owned
from tests.operator.puppets import Puppets
from tests.operator.stage import NAMESPACE, Stage, sort_job

FORBIDDEN = KubeError(
    403,
    "Forbidden",
    'networkpolicies.networking.k8s.io is forbidden: User "system:serviceaccount:shuffle:operator" cannot create '
    'resource "networkpolicies" in API group "networking.k8s.io" in the namespace "data"',
)
RIGHT = 'cannot create resource "networkpolicies"'
GONE = ("DELETED", NETWORK_POLICIES)
CREATED, DELETED = "create networkpolicies/", "delete networkpolicies/"


@pytest.fixture
async def puppets(stage: Stage) -> AsyncIterator[Puppets]:
    """Held."""
    stage.policies = True
    made = Puppets(stage.kube, stage.address, stage.secure)
    made.hold.clear()
    yield made
    await made.close()


async def submit(stage: Stage, name: str = "sorted", **spec: Any) -> Object:
    return await stage.submit(sort_job(Path("/in"), Path("/out"), name, **spec))


async def until_ready(stage: Stage, name: str = "sorted") -> None:
    await stage.until(lambda: stage.status(name).get("workers", {}).get("ready") == 2)


async def until_phase(stage: Stage, phase: str, name: str = "sorted") -> None:
    await stage.until(lambda: stage.status(name).get("phase") == phase)


def policies(stage: Stage) -> dict[str, Object]:
    return {name: body for (kind, _, name), body in stage.kube.objects.items() if kind == NETWORK_POLICIES}


def writes(stage: Stage, start: str) -> list[str]:
    return [each for each in stage.kube.writes if each.startswith(start)]


async def taken_up(stage: Stage) -> None:
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: operator.reconciler.active)


async def test_it_is_made_before_pods_and_goes_after_them(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    body = await submit(stage)
    await until_ready(stage)
    uid = body["metadata"]["uid"]
    [(name, made)] = policies(stage).items()
    assert name == policy_name("sorted", uid)
    assert is_owned(made, uid)
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["spec"]["podSelector"] == {"matchLabels": {LABEL_UID: uid}}
    assert {pod["metadata"]["labels"][LABEL_UID] for pod in stage.pods().values()} == {uid}
    first = min(stage.kube.writes.index(each) for each in writes(stage, "create pods/"))
    assert stage.kube.writes.index(CREATED + name) < first
    left: list[int] = []
    stage.kube.listeners.append(
        lambda kind, resource, _: left.append(len(live(stage))) if (kind, resource) == GONE else None
    )
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not policies(stage))
    assert left == [0]
    assert (len(writes(stage, CREATED)), len(writes(stage, DELETED))) == (1, 1)
    used = {each for each in stage.kube.used if each[0] == NETWORK_POLICIES.group}
    assert used == {(group, resource, verb) for (group, resource), verbs in ISOLATION.items() for verb in verbs}


def live(stage: Stage) -> list[Object]:
    return [pod for pod in stage.pods().values() if pod["status"]["phase"] == "Running"]


async def test_two_jobs_have_one_each(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    uids = {(await submit(stage, name))["metadata"]["uid"] for name in ("one", "two")}
    await until_ready(stage, "one")
    await until_ready(stage, "two")
    assert {made["spec"]["podSelector"]["matchLabels"][LABEL_UID] for made in policies(stage).values()} == uids


async def test_the_next_operator_finds_it_and_removes_it_in_the_end(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    await submit(stage)
    await until_ready(stage)
    before = policies(stage)
    await stage.kill()
    await stage.start(kubelet=False)
    await taken_up(stage)
    await stage.until(lambda: len(writes(stage, CREATED)) == 2)  # which is refused: it is there
    assert policies(stage) == before
    puppets.end(min(stage.pods()), 1)
    await stage.until(lambda: len(puppets.started) == 3)  # nothing keeps others from starting
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not policies(stage))


async def test_a_job_that_began_without_gets_one_when_it_is_taken_over(stage: Stage, puppets: Puppets) -> None:
    stage.policies = False
    await stage.start(kubelet=False)
    await submit(stage)
    await until_ready(stage)
    assert not policies(stage)
    await stage.kill()
    stage.policies = True
    await stage.start(kubelet=False)
    await stage.until(lambda: policies(stage))
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not policies(stage))
    assert len(puppets.started) == 2


async def test_none_is_made_unless_it_is_asked_for(stage: Stage, puppets: Puppets) -> None:
    stage.policies = False
    puppets.hold.set()
    await stage.start(kubelet=False)
    await submit(stage)
    await until_phase(stage, "Complete")
    await stage.until(lambda: not stage.pods())
    assert not {each for each in stage.kube.used if each[0] == NETWORK_POLICIES.group}


async def test_a_suspended_job_has_none_and_gets_it_again(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    await submit(stage)
    await until_ready(stage)
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"suspend": True}})
    puppets.hold.set()  # to undo what was written
    await until_phase(stage, "Suspended")
    assert not policies(stage)
    puppets.hold.clear()
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"suspend": False}})
    await until_ready(stage)
    assert len(policies(stage)) == 1


async def test_it_goes_with_a_job_that_is_deleted(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    await submit(stage)
    await until_ready(stage)
    await stage.kube.delete(JOBS, NAMESPACE, "sorted")
    await stage.until(lambda: not policies(stage))  # by its owner reference


async def test_without_the_right_no_worker_starts_and_the_job_says_which_right(stage: Stage, puppets: Puppets) -> None:
    stage.kube.refusals["create", NETWORK_POLICIES] = FORBIDDEN
    stage.kube.refusals["delete", NETWORK_POLICIES] = KubeError(403, "Forbidden", "cannot delete it either")
    await stage.start(kubelet=False)
    await submit(stage, startupDeadlineSeconds=2)
    await stage.until(lambda: RIGHT in str(stage.status().get("message")))
    assert stage.status()["phase"] == "Pending"
    assert "upgrade its chart" in stage.status()["message"]
    await until_phase(stage, "Failed")
    message = stage.status()["message"]
    assert message.startswith("StartupDeadlineExceeded")
    assert RIGHT in message
    assert not puppets.started


async def test_workers_that_are_there_go_on_where_it_cannot_be_had(stage: Stage, puppets: Puppets) -> None:
    """They began without; others do not start."""
    stage.policies = False
    await stage.start(kubelet=False)
    await submit(stage)
    await until_ready(stage)
    await stage.kill()
    stage.policies = True
    stage.kube.refusals["create", NETWORK_POLICIES] = FORBIDDEN
    await stage.start(kubelet=False)
    await taken_up(stage)
    puppets.end(min(stage.pods()), 1)
    await stage.until(lambda: RIGHT in str(stage.status().get("message")))
    assert len(puppets.started) == 2
    del stage.kube.refusals["create", NETWORK_POLICIES]
    await stage.until(lambda: len(puppets.started) == 3)
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_a_right_that_is_granted_late_is_soon_enough(stage: Stage, puppets: Puppets) -> None:
    stage.kube.refusals["create", NETWORK_POLICIES] = FORBIDDEN
    await stage.start(kubelet=False)
    await submit(stage)
    await stage.until(lambda: RIGHT in str(stage.status().get("message")))
    del stage.kube.refusals["create", NETWORK_POLICIES]
    await until_ready(stage)
    await stage.until(lambda: RIGHT not in stage.status()["message"])
    assert len(policies(stage)) == 1


async def test_one_that_cannot_be_deleted_keeps_no_job_from_its_end(
    stage: Stage, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stage.kube.refusals["delete", NETWORK_POLICIES] = KubeError(403, "Forbidden", "cannot delete it")
    puppets.hold.set()
    operator = await stage.start(kubelet=False)
    await submit(stage)
    await until_phase(stage, "Complete")
    await stage.until(lambda: not operator.reconciler.active)
    assert "stays until the job is removed: cannot delete it" in caplog.text
    assert len(policies(stage)) == 1


async def test_a_server_that_is_not_there_is_asked_again(stage: Stage, puppets: Puppets) -> None:
    """Nothing is taken for the lack of a right but that."""
    stage.kube.refusals["create", NETWORK_POLICIES] = KubeError(0, "Unreachable", "the API server does not answer")
    await stage.start(kubelet=False)
    await submit(stage)
    await stage.until(lambda: "does not answer" in str(stage.status().get("message")))
    assert "upgrade" not in stage.status()["message"]
    assert not stage.pods()
    stage.kube.refusals.clear()
    puppets.hold.set()
    await until_phase(stage, "Complete")
