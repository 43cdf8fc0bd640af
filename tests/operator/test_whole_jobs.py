"""From a resource to its output: a real operator and real workers, an API server in memory."""

from __future__ import annotations

import signal
from pathlib import Path

import pyarrow.parquet as pq

from shuffle_operator.kube.api import JOBS, SECRETS
from tests.operator.stage import NAMESPACE, Stage, sort_job


def condition(status: dict[str, object], kind: str) -> str:
    conditions = status.get("conditions") or []
    assert isinstance(conditions, list)
    return next((c["status"] for c in conditions if c["type"] == kind), "")


async def running(stage: Stage) -> None:
    """Its workers are registered, and stopped before they can be through with it."""
    operator, kubelet = stage.operator, stage.kubelet
    assert operator is not None
    assert kubelet is not None
    await stage.until(lambda: any(job.machine.state.members for job in operator.reconciler.active.values()))
    kubelet.freeze()
    assert not any(job.machine.state.over for job in operator.reconciler.active.values())


async def test_a_job_is_carried_out_and_says_so(stage: Stage, events: Path, tmp_path: Path) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not stage.pods())
    status = stage.status()
    assert condition(status, "Complete") == condition(status, "Finished") == "True"
    assert status["rows"] == {"read": 4000, "received": 4000, "written": 4000}
    assert status["output"]["files"] == 4
    assert (tmp_path / "out" / "_SUCCESS").exists()
    keys = [k for f in sorted((tmp_path / "out").glob("*.parquet")) for k in pq.read_table(f)["key"].to_pylist()]
    assert keys == sorted(keys)
    assert len(keys) == 4000
    secrets = (SECRETS, NAMESPACE)
    await stage.until(lambda: not [key for key in stage.kube.objects if key[:2] == secrets])  # nobody needs them now
    await stage.until(lambda: {"Started", "Transferring", "Completed"} <= set(stage.events()))
    assert stage.operator is not None
    for line in (
        "shuffle_barrier_wait_seconds_count 1.0",
        'shuffle_jobs_finished_total{reason="Completed"} 1.0',
        'shuffle_job_duration_seconds_count{result="complete"} 1.0',
        "shuffle_job_queued_seconds_count 1.0",
        "shuffle_job_first_worker_seconds_count 1.0",
    ):
        assert f"{line}\n" in stage.operator.metrics.page().decode()


async def test_a_finished_job_is_never_started_again(stage: Stage, events: Path, tmp_path: Path) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not stage.status().get("cleaningUp"))
    assert not stage.pods()
    await stage.kill()
    before = len(stage.kube.writes)
    operator = await stage.start()
    await stage.until(lambda: operator.queue.depth == 0)
    assert stage.kube.writes[before:] == []
    assert stage.status()["phase"] == "Complete"


async def test_an_operator_that_dies_is_followed_by_one_that_goes_on(
    stage: Stage, events: Path, tmp_path: Path
) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await running(stage)
    pods = set(stage.pods())
    await stage.kill()
    await stage.start()
    assert stage.kubelet is not None
    stage.kubelet.thaw()
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert stage.status()["epoch"] >= 1 << 16
    assert set(stage.pods()) <= pods  # the same workers went on
    assert stage.status()["rows"]["written"] == 4000


async def test_a_worker_that_is_killed_is_replaced(stage: Stage, events: Path, tmp_path: Path) -> None:
    await stage.start()
    assert stage.kubelet is not None
    await stage.submit(sort_job(events, tmp_path / "out"))
    await running(stage)
    stage.kubelet.kill("sorted-w-1-0", signal.SIGKILL)
    stage.kubelet.kill("sorted-w-0-0", signal.SIGCONT)
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert stage.status()["rows"]["written"] == 4000


async def test_a_job_that_is_deleted_takes_its_partial_output_with_it(
    stage: Stage, events: Path, tmp_path: Path
) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await running(stage)
    await stage.kube.delete(JOBS, NAMESPACE, "sorted")
    await stage.until(lambda: not stage.pods())
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not operator.reconciler.active)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


async def test_suspended_and_resumed(stage: Stage, events: Path, tmp_path: Path) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await running(stage)
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"suspend": True}})
    assert stage.kubelet is not None
    stage.kubelet.thaw()
    await stage.until(lambda: stage.status().get("phase") == "Suspended" and not stage.pods())
    assert condition(stage.status(), "Suspended") == "True"
    assert "startTime" not in stage.status()
    assert not list((tmp_path / "out").glob("**/*"))  # should it be deleted now, nothing is left behind
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert stage.status()["rows"]["written"] == 4000


async def test_a_wrong_job_is_refused_and_nothing_is_started(stage: Stage, events: Path, tmp_path: Path) -> None:
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out", operation={"sort": {"by": []}}))
    await stage.until(lambda: stage.status().get("phase") == "Failed")
    assert stage.status()["message"].startswith("InvalidSpec")
    assert not stage.pods()


async def test_a_job_that_fails_says_so_when_its_workers_are_gone(stage: Stage, tmp_path: Path) -> None:
    await stage.start()
    await stage.submit(sort_job(tmp_path / "nowhere", tmp_path / "out"))
    await stage.until(lambda: stage.status().get("phase") == "Failed")
    assert all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in stage.pods().values())
    assert stage.status()["message"].startswith("InputNotFound")
    assert condition(stage.status(), "Failed") == "True"
    assert condition(stage.status(), "Complete") == ""
