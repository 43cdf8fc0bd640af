"""What lasts long or goes badly says so all the while, in words that a person understands, and ends by itself.

Each test prints what `kubectl get --watch` showed of its jobs, and their events (`pytest -s`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import KIND, REPARTITION, SECRET, Job, manifest
from e2e.harness.kubectl import Kubectl
from e2e.harness.operator import Operator
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until
from e2e.harness.watching import Watch, watched

JOBS, PODS = 50, 5
"""Of the test with a quota: jobs of one worker each, and pods that the quota lets be."""

OUTAGE = 180.0
"""Seconds for which the store is away."""

CRASH = """
import os
from shuffle_worker.readers import files
def _piece(self, piece, rows, before=files.FileReader._piece):
    for each in before(self, piece, rows):
        if self._plan.files[piece.file].path.endswith("/003.parquet"):
            os.abort()
        yield each
files.FileReader._piece = _piece
"""
"""Reading this file ends the process, as a defect in a library does. Python runs it when it starts."""


@pytest.fixture
def watch(kubectl: Kubectl) -> Iterator[Watch]:
    with watched(kubectl) as found:
        yield found


def quota(kubectl: Kubectl, name: str, **hard: str) -> None:
    """Once Kubernetes goes by it."""
    spec = {"hard": hard}
    kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})

    def counted() -> bool:
        return hard.keys() <= ((kubectl.get("resourcequota", name) or {}).get("status") or {}).get("used", {}).keys()

    until(f"the quota {name} is counted", counted, seconds=30)


def three_run(job: Job) -> None:
    until("three workers run", lambda: len(job.running()) == 3, seconds=90, said=job.told)


# -- crashes ---------------------------------------------------------------------------------------------------------


def test_one_worker_crashes(submit: Submit, faults: Faults, watch: Watch, slowly: None, as_local: Compare) -> None:
    """That is a failure and no disruption, and the job goes on with another worker."""
    job = submit("crashed", REPARTITION)
    job.until_phase("Transferring")
    three_run(job)
    faults.crash(job.running()[1])
    until("it is counted", lambda: job.status.get("failures"), seconds=60, said=job.told)
    status = job.complete(seconds=400)
    as_local(job)
    failure = status["lastFailure"]
    assert (failure["reason"], status["failures"], status.get("disruptions", 0)) == ("Crashed", 1, 0), job.told()
    assert "crashed (SIG" in failure["message"]
    assert any(event.startswith("Crashed: worker ") for event in job.events()), job.events()


@pytest.fixture
def small_files(bucket: Bucket, tmp_path: Path) -> str:
    """Six, of a split each."""
    for number in range(6):
        table = pa.table({"user_id": range(number * 1000, (number + 1) * 1000)})
        pq.write_table(table, tmp_path / f"{number:03}.parquet")
    bucket.upload(tmp_path, "small/")
    return bucket.url("small/")


def test_a_file_that_crashes_every_worker_is_named(
    submit: Submit, kubectl: Kubectl, bucket: Bucket, watch: Watch, small_files: str
) -> None:
    data = {"sitecustomize.py": CRASH}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "defect"}, "data": data})
    storage = {"secretRef": {"name": SECRET}, "endpoint": bucket.storage.inside}
    job = submit(
        "poisoned",
        REPARTITION,
        inputs=[{"path": small_files, "storage": storage}],
        functions={"sources": [{"configMapRef": {"name": "defect"}}]},
        workers={"env": [{"name": "PYTHONPATH", "value": "/var/run/shuffle-functions/0"}]},
    )
    status = job.failed("DataError", seconds=300)
    assert "small/003.parquet" in status["message"], status["message"]
    assert "crashed (SIG" in status["message"], status["message"]
    assert status["failures"] >= 1
    assert status.get("disruptions", 0) == 0, job.told()
    assert job.bucket.names(job.output) == []


# -- quotas ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_rows(bucket: Bucket, events: Path, tmp_path: Path) -> str:
    """A folder of one file."""
    shutil.copy(events / "events-00000.parquet", tmp_path)
    bucket.upload(tmp_path, "one/")
    return bucket.url("one/")


@pytest.mark.timeout(1000, func_only=True)
def test_fifty_jobs_under_a_quota_of_few_pods(
    kubectl: Kubectl, bucket: Bucket, operator: Operator, watch: Watch, few_rows: str
) -> None:
    quota(kubectl, "few", pods=str(PODS))
    storage = {"secretRef": {"name": SECRET}, "endpoint": bucket.storage.inside}
    jobs = []
    for number in range(JOBS):
        name, output = f"queued-{number:02}", f"{kubectl.namespace}/{number:02}/"
        source = [{"path": few_rows, "storage": storage}]
        target = {"storage": storage, "partitions": 2}
        # A deadline that waiting for the quota would pass by far.
        more: dict[str, Any] = {"workers": {"replicas": 1}, "startupDeadlineSeconds": 60}
        document = manifest(name, REPARTITION, few_rows, bucket.url(output), inputs=source, output=target, **more)
        document["spec"]["workers"]["resources"] = {
            "requests": {"cpu": "20m", "memory": "256Mi"},
            "limits": {"memory": "512Mi"},
        }
        jobs.append(document)
    kubectl.apply(*jobs)

    def over() -> bool:
        phases = [(job.get("status") or {}).get("phase") for job in kubectl.list(KIND)]
        assert "Failed" not in phases, kubectl("describe", KIND, check=False)
        return phases == ["Complete"] * JOBS

    until("all are complete", over, seconds=900, every=3)
    bucket.remove(f"{kubectl.namespace}/")
    found = sorted(kubectl.list(KIND), key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))
    names = [job["metadata"]["name"] for job in found]
    assert_that_those_who_wait_say_so(watch, names)
    assert_that_time_runs_from_the_first_pod(watch, found)
    started = {job["metadata"]["name"]: job["status"]["startTime"] for job in found}
    order = sorted(names, key=lambda name: started[name])
    ahead = {name: names.index(name) - order.index(name) for name in names}
    assert max(ahead.values()) <= PODS, ("the oldest go first", ahead)
    asked = operator.requests(kubectl.namespace).count("pods create")
    print(f"{asked} requests for {JOBS} pods")
    assert asked <= 4 * JOBS, "a quota that is full is not asked again and again"


def assert_that_those_who_wait_say_so(watch: Watch, names: list[str]) -> None:
    reasons = {name: [m for m in watch.messages(name) if "quota few" in m or "quota: few" in m] for name in names}
    waited = [name for name, said in reasons.items() if said]
    assert len(waited) >= JOBS - 2 * PODS, reasons
    phases = {line.phase for name in waited for line in watch.of(name) if line.message in reasons[name]}
    assert phases == {"Pending"}, phases


def assert_that_time_runs_from_the_first_pod(watch: Watch, jobs: list[dict[str, Any]]) -> None:
    for job in jobs:
        name = job["metadata"]["name"]
        first = min(created for pod, created in watch.pods.items() if pod.startswith(f"{name}-w-"))
        assert job["status"]["startTime"] >= first, (name, first, job["status"]["startTime"])


def test_a_secret_that_cannot_be_made_has_a_deadline(submit: Submit, kubectl: Kubectl, watch: Watch) -> None:
    quota(kubectl, "none", secrets="0")
    began = time.monotonic()
    job = submit("secretless", REPARTITION, startupDeadlineSeconds=25)
    until("it is said", lambda: "exceeded quota: none" in job.status.get("message", ""), seconds=15, said=job.told)
    assert job.phase == "Pending"
    status = job.failed("StartupDeadlineExceeded", seconds=60)
    assert 20 < time.monotonic() - began < 60
    assert "Secret" in status["message"]
    assert "exceeded quota: none" in status["message"], status["message"]
    assert "startTime" not in status
    assert not watch.pods
    assert any(event.startswith("CannotStart: ") and "exceeded quota" in event for event in job.events())


# -- a store that is away --------------------------------------------------------------------------------------------


@pytest.mark.timeout(900, func_only=True)
def test_a_store_that_is_away_for_three_minutes(
    submit: Submit, faults: Faults, watch: Watch, slowly: None, as_local: Compare
) -> None:
    job = submit("patient", REPARTITION)
    job.until_phase("Transferring")
    three_run(job)
    with faults.store_away():
        end = time.monotonic() + OUTAGE
        until("the outage is said", lambda: "waiting: " in job.status.get("message", ""), seconds=60, said=job.told)
        print(f"in the message {OUTAGE - (end - time.monotonic()):.0f} s after it began")
        while time.monotonic() < end:
            assert job.phase in ("Transferring", "Writing", "Committing"), job.told()
            time.sleep(5)
        assert "waiting: " in job.status["message"], "the message says so until the end"
    status = job.complete(seconds=400)
    as_local(job)
    waiting = [message for message in watch.messages("patient") if "waiting: " in message]
    assert all("10.200.0.1" in message or "s3://" in message for message in waiting), waiting
    assert status.get("failures", 0) == 0, job.told()


# -- who comes after -------------------------------------------------------------------------------------------------


def test_operator_and_worker_go_at_once(
    submit: Submit, operator: Operator, watch: Watch, slowly: None, as_local: Compare
) -> None:
    job = submit("forsaken", REPARTITION)
    job.until_phase("Transferring")
    three_run(job)
    job.kubectl.delete("pod", job.running()[0]["metadata"]["name"], now=True)
    until("one is replaced", lambda: (job.status.get("workers") or {}).get("replaced"), seconds=60, said=job.told)
    three_run(job)
    until("it is on its way", lambda: job.status.get("progress", 0) >= 10, seconds=60, said=job.told)
    old = operator.pod()["metadata"]
    gone = job.running()[1]["metadata"]["name"]
    operator.kubectl.delete("pod", old["name"], now=True)
    job.kubectl.delete("pod", gone, now=True)
    until("another operator", lambda: operator.pod()["metadata"]["uid"] != old["uid"], seconds=120)
    until("it says so", lambda: any(e.startswith("TakenOver: ") for e in job.events()), seconds=60, said=job.told)
    status = job.complete(seconds=400)
    as_local(job)
    assert status["workers"]["lost"] >= 2, job.told()
    lines = watch.of("forsaken")
    for before, after in pairwise(lines):
        assert (after.lost, after.replaced) >= (before.lost, before.replaced), f"{before}\n{after}"
        if after.progress < before.progress:
            assert " % before " in after.message, f"{before}\n{after}"
    taken = next(event for event in job.events() if event.startswith("TakenOver: "))
    assert "took it over at" in taken
    assert " %: " in taken
