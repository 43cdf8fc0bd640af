"""Pods with more processors than one interpreter serves: several workers in each, which are lost together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults, derail
from e2e.harness.jobs import REPARTITION, SORT, Job
from e2e.harness.kubectl import Object
from e2e.harness.waiting import until

WORKERS: dict[str, Any] = {
    "replicas": 2,
    "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"cpu": "4", "memory": "1Gi"}},
}


def kill(faults: Faults, pod: Object) -> None:
    os.kill(faults.workers(pod)[1], signal.SIGKILL)


def crash(faults: Faults, pod: Object) -> None:
    derail(faults.workers(pod)[1])


def squeeze(faults: Faults, pod: Object) -> None:
    faults.squeeze(pod)


def strike(job: Job, phase: str, fault: Callable[[Object], None]) -> Object:
    """Pod 1, in a phase. Returns its status when its job is over and well."""
    job.until_phase(phase)
    until("all workers are there", lambda: job.status["workers"]["ready"] == 4, seconds=60)
    fault(job.running()[1])
    return job.complete(seconds=400)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (kill, {"reason": "Killed", "worker": 3}),
        (crash, {"reason": "Crashed", "worker": 3}),
        (squeeze, {"reason": "OOMKilled"}),  # either worker
    ],
)
def test_one_of_a_pods_processes_ends(
    submit: Submit,
    faults: Faults,
    slowly: None,
    as_local: Compare,
    fault: Callable[[Faults, Object], None],
    said: dict[str, Any],
) -> None:
    job = submit("one-of-four", REPARTITION, workers=WORKERS)
    status = strike(job, "Transferring", lambda pod: fault(faults, pod))
    as_local(job)
    assert (status["failures"], status["disruptions"]) == ((0, 1) if fault is kill else (1, 0))
    assert status["workers"]["lost"] == 2
    assert status["lastFailure"] | said == status["lastFailure"]
    assert status["lastFailure"]["pod"].startswith("one-of-four-w-1-")


def test_a_pod_of_several_workers_hands_over_what_it_has(
    submit: Submit, faults: Faults, slowly: None, as_local: Compare
) -> None:
    patient = {"spec": {"terminationGracePeriodSeconds": 150}}  # rows travel slowly here
    job = submit("told", SORT, workers={**WORKERS, "podTemplate": patient})
    strike(job, "Transferring", lambda pod: job.kubectl.delete("pod", pod["metadata"]["name"]))
    as_local(job)
    assert any(event.startswith("WorkerLeft: worker 2") for event in job.events()), job.events()
    assert any(event.startswith("WorkerLeft: worker 3") for event in job.events()), job.events()


def test_replicas_are_pods(submit: Submit, slowly: None, as_local: Compare) -> None:
    job = submit("resized", REPARTITION, workers=WORKERS)
    job.until_phase("Transferring")
    change = {"spec": {"workers": {"replicas": 1}}}
    job.kubectl.patch("shufflejobs.shuffle-operator.dev", job.name, change)
    status = job.complete(seconds=400)
    as_local(job)
    assert (status["failures"], status["disruptions"]) == (0, 0)
    assert status["workers"]["desired"] == 2
