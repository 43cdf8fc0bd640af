"""Pods with many processors: several workers in each, which the operator starts, counts and loses together."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shuffle_operator.kube.api import JOBS
from tests.operator.puppets import Puppets
from tests.operator.stage import NAMESPACE, Stage, sort_job

FOUR = {"limits": {"cpu": "4", "memory": "1Gi"}}


def job(events: Path, output: Path, replicas: int = 2) -> dict[str, Any]:
    return sort_job(events, output, workers={"replicas": replicas, "resources": FOUR})


@pytest.fixture
async def puppets(stage: Stage) -> AsyncIterator[Puppets]:
    """Held."""
    made = Puppets(stage.kube, stage.address, stage.secure)
    made.hold.clear()
    yield made
    await made.close()


async def until_ready(stage: Stage, workers: int) -> None:
    await stage.until(lambda: stage.status().get("workers", {}).get("ready") == workers)


async def test_one_process_of_several_is_killed_and_the_job_is_complete(
    stage: Stage, events: Path, tmp_path: Path
) -> None:
    await stage.start()
    operator, kubelet = stage.operator, stage.kubelet
    assert operator is not None
    assert kubelet is not None
    await stage.submit(job(events, tmp_path / "out"))
    await stage.until(lambda: any(len(x.machine.state.members) == 4 for x in operator.reconciler.active.values()))
    kubelet.freeze()
    (active,) = operator.reconciler.active.values()
    assert (active.state.job.workers, active.state.job.memory) == (4, 512 << 20)
    assert not active.state.over
    assert set(stage.pods()) == {"sorted-w-0-0", "sorted-w-1-0"}
    children = psutil.Process(kubelet.processes["sorted-w-1-0"].pid).children()
    assert len(children) == 2
    os.kill(children[1].pid, signal.SIGKILL)
    kubelet.thaw()
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not stage.status().get("cleaningUp"))
    status = stage.status()
    assert status["rows"] == {"read": 4000, "received": 4000, "written": 4000}
    assert status["workers"]["lost"] == 2
    assert status["disruptions"] == 1
    assert status["lastFailure"]["pod"] == "sorted-w-1-0"
    assert status["lastFailure"]["worker"] == 3
    assert not any(child.is_running() for child in children)


async def test_replicas_are_pods(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    await stage.submit(job(Path("/in"), Path("/out")))
    await until_ready(stage, 4)
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"workers": {"replicas": 3}}})
    await until_ready(stage, 6)
    assert len(stage.pods()) == 3
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"workers": {"replicas": 1}}})
    await until_ready(stage, 2)
    await stage.until(lambda: len(stage.pods()) == 1)
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert (stage.status()["workers"]["lost"], stage.status()["disruptions"]) == (0, 0)


async def test_a_later_operator_takes_over_the_workers_of_the_pods_that_are_there(
    stage: Stage, puppets: Puppets
) -> None:
    await stage.start(kubelet=False)
    await stage.submit(job(Path("/in"), Path("/out")))
    await until_ready(stage, 4)
    await stage.kill()
    puppets.end("sorted-w-0-0", 1)
    puppets.hold.set()
    await stage.start(kubelet=False)
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert sorted(puppets.started[:2]) == ["sorted-w-0-0", "sorted-w-1-0"]
    assert len(puppets.started) == 3
    assert (stage.status()["failures"], stage.status()["disruptions"]) == (1, 0)
    assert stage.status()["workers"]["lost"] == 2


async def test_a_pod_whose_worker_fails_counts_once(stage: Stage, puppets: Puppets) -> None:
    await stage.start(kubelet=False)
    await stage.submit(job(Path("/in"), Path("/out")))
    await until_ready(stage, 4)
    puppets.end("sorted-w-1-0", 1, said="ValueError: that\nworker 1 of the 2 in this pod failed")
    await stage.until(lambda: stage.status().get("failures") == 1)
    failure = stage.status()["lastFailure"]
    assert (failure["worker"], failure["pod"], failure["exitCode"]) == (3, "sorted-w-1-0", 1)
    assert failure["message"] == "its process ended with exit code 1: ValueError: that"
    await until_ready(stage, 4)
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete")
