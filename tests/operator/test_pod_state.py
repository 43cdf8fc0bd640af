"""Why a pod ended, and what keeps it from starting: in Kubernetes' words, with what to do."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.launchers.pod_state import ended, is_live, waiting_reason


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


BLAME = "worker 2 of the 4 in this pod failed"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            terminated(134, message=f"{BLAME}\nreading s3://b/x.parquet\t0\n"),
            "its process crashed (SIGABRT) while reading s3://b/x.parquet",
        ),
        (
            terminated(1, message=f'ValueError: that\n{{"level": "INFO"}}\n{BLAME}\n{{"level": "INFO"}}\n'),
            "its process ended with exit code 1: ValueError: that",
        ),
        (terminated(137, "OOMKilled", f"{BLAME}\n"), "OOMKilled: it needed more than its memory limit of 4Gi"),
        (terminated(137, message=f"{BLAME}\n"), "its process was ended by signal 9 (SIGKILL)"),
    ],
)
def test_a_pod_of_several_workers_says_which_of_them_made_it_end(status: dict[str, Any], said: str) -> None:
    end = ended(pod(status))
    assert end is not None
    assert end.blamed == 2
    assert end.why.startswith(said)


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
            "OutOfDisk",
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
        (
            pod(
                {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                        }
                    ],
                }
            ),
            "3 Insufficient nvidia.com/gpu.; backend: Gpu asks for nvidia.com/gpu for each worker: no node has one",
        ),
    ],
)
def test_what_keeps_it_from_starting(body: dict[str, Any], said: str) -> None:
    assert said in waiting_reason(body)
    assert bool(said) == bool(waiting_reason(body))


def evicted(message: str) -> dict[str, Any]:
    return pod({"phase": "Failed", "reason": "Evicted", "message": message})


SAID: dict[str, list[dict[str, Any]]] = {
    "exit code 0 while the job runs": [pod(terminated(0, "Completed"))],
    "exit code 1 to 127, or above 192": [pod(terminated(code)) for code in (1, 2, 78, 127, 193, 255)],
    "exit code 134 (SIGABRT)": [pod(terminated(134))],
    "exit code 139 (SIGSEGV)": [pod(terminated(139))],
    "exit code 135 (SIGBUS)": [pod(terminated(135))],
    "exit code 132 (SIGILL)": [pod(terminated(132))],
    "exit code 136 (SIGFPE)": [pod(terminated(136))],
    "exit code 137 (SIGKILL)": [pod(terminated(137)), pod(terminated(137, "ContainerStatusUnknown"))],
    "exit code 143 (SIGTERM)": [pod(terminated(143))],
    "`OOMKilled`": [pod(terminated(137, "OOMKilled"))],
    "evicted for what it wrote itself": [
        evicted('Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". '),
        evicted("Pod ephemeral local storage usage exceeds the total limit of containers 5Gi. "),
        evicted('Container worker exceeded its local ephemeral storage limit "1Gi". '),
    ],
    "evicted because the node has too little": [
        evicted("The node was low on resource: memory. Container worker was using 900Mi, request is 512Mi. "),
        evicted("The node was low on resource: ephemeral-storage. Container worker was using 4Gi, request is 1Gi. "),
    ],
    "preempted": [
        pod(
            {
                "phase": "Running",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
            }
        )
    ],
    "the node shuts down": [pod({"phase": "Failed", "reason": "Shutdown"})],
    "deleted": [pod({"phase": "Running"}, deletionTimestamp="2026-01-01T00:00:00Z")],
}


def test_the_table_for_people_is_what_happens() -> None:
    page = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()
    table = page.partition("| Kubernetes says | reason | counts against |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[1:]]
    assert [row[0] for row in rows] == list(SAID)
    for said, reason, limit in rows:
        for body in SAID[said]:
            end = ended(body)
            assert end is not None
            assert (f"`{end.reason}`", end.fault) == (reason, limit == "`backoffLimit`"), said


@pytest.mark.parametrize("number", sorted(set(signal.Signals) - {signal.SIGKILL, signal.SIGTERM}))
def test_every_signal_that_is_not_from_outside_is_a_failure(number: int) -> None:
    end = ended(pod(terminated(128 + number)))
    assert end is not None
    assert end.fault
    assert signal.Signals(number).name in end.why
    assert end.exit_code == 128 + number
