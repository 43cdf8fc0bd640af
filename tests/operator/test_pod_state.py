"""Why a pod ended, and what keeps it from starting: in Kubernetes' words, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from shuffle_operator.launchers.pod_state import ended, hindrance, is_live


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    limits = {"limits": {"memory": "4Gi"}}
    return {
        "metadata": {"name": "p", "uid": "u", **metadata},
        "spec": {"containers": [{"name": "worker", "image": "worker:1", "resources": limits}]},
        "status": status,
    }


def terminated(code: int, reason: str = "Error", message: str = "", **status: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    phase = "Succeeded" if code == 0 else "Failed"
    return {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}], **status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {
        "phase": "Pending",
        "containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": reason, "message": message}}}],
    }


def test_a_pod_that_runs_has_not_ended() -> None:
    assert is_live(pod({"phase": "Running"}))
    assert is_live(pod({"phase": "Pending"}))
    assert is_live(pod({}))


@pytest.mark.parametrize(
    ("body", "reason", "fault", "said"),
    [
        (pod(terminated(137, "OOMKilled")), "OOMKilled", True, "memory limit of 4Gi"),
        (pod(terminated(1, message="first\nlast line\n")), "Error", True, "exit code 1: last line"),
        (pod(terminated(0, "Completed")), "Completed", False, "ended"),
        (pod(terminated(137)), "Killed", False, "signal 9"),
        (pod(terminated(143)), "Killed", False, "signal 15"),
        (
            pod(terminated(134, message="reading s3://b/x.parquet\t7f\n")),
            "Crashed",
            True,
            "while reading s3://b/x.parquet",
        ),
        (pod(terminated(139)), "Crashed", True, "SIGSEGV"),
        (pod(terminated(135, message="a log line\n")), "Crashed", True, "SIGBUS"),
        (
            pod({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            "Evicted",
            False,
            "low on",
        ),
        (
            pod(
                {
                    "phase": "Failed",
                    "reason": "Evicted",
                    "message": 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".',
                }
            ),
            "Evicted",
            True,
            "raise workers.scratch.sizeLimit",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "conditions": [
                        {
                            "type": "DisruptionTarget",
                            "status": "True",
                            "reason": "PreemptionByScheduler",
                            "message": "for a better one",
                        }
                    ],
                }
            ),
            "PreemptionByScheduler",
            False,
            "for a better one",
        ),
        (pod({"phase": "Running"}, deletionTimestamp="2026-01-01T00:00:00Z"), "Deleted", False, "deleted"),
        (pod(terminated(137), deletionTimestamp="2026-01-01T00:00:00Z"), "Deleted", False, "deleted"),
        (pod(terminated(137, "OOMKilled"), deletionTimestamp="2026-01-01T00:00:00Z"), "OOMKilled", True, "memory"),
        (
            pod({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no room"}),
            "UnexpectedAdmissionError",
            True,
            "no room",
        ),
    ],
)
def test_how_it_ended(body: dict[str, Any], reason: str, fault: bool, said: str) -> None:
    end = ended(body)
    assert end is not None
    assert (end.reason, end.fault) == (reason, fault)
    assert said in end.why


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            pod(waiting("ImagePullBackOff", "not found")),
            "image worker:1 cannot be pulled (ImagePullBackOff: not found)",
        ),
        (pod(waiting("CreateContainerConfigError", 'secret "keys" not found')), 'secret "keys" not found'),
        (pod(waiting("ContainerCreating")), ""),
        (pod({"phase": "Running"}), ""),
        (
            pod(
                {
                    "phase": "Pending",
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/2 nodes are available",
                        }
                    ],
                }
            ),
            "Unschedulable: 0/2 nodes are available",
        ),
    ],
)
def test_what_keeps_it_from_starting(body: dict[str, Any], said: str) -> None:
    assert said in hindrance(body)
    assert bool(said) == bool(hindrance(body))
