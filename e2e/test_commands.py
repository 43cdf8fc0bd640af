"""The program `shuffle` against the cluster, as a person uses it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from e2e.conftest import Submit
from e2e.harness.cluster import PROJECT, Cluster
from e2e.harness.jobs import KIND, REPARTITION, SECRET, Job, manifest
from e2e.harness.kubectl import Kubectl
from e2e.harness.process import run
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until

Shuffle = Callable[..., str]


@pytest.fixture
def shuffle(cluster: Cluster, kubectl: Kubectl) -> Shuffle:
    """Runs a command in the test's namespace; its output, errors too where it may fail."""

    def command(*words: str | Path, check: bool = True) -> str:
        program = [PROJECT / ".venv/bin/shuffle", *words, "--namespace", kubectl.namespace]
        return run(program, check=check, timeout=240, environment={"KUBECONFIG": str(cluster.kubeconfig)})

    return command


@pytest.fixture
def file(kubectl: Kubectl, bucket: Bucket, tmp_path: Path) -> Path:
    """A job's file."""
    target = bucket.url(f"{kubectl.namespace}/by-hand/")
    document = manifest("by-hand", REPARTITION, bucket.url("events/"), target, podRetention="Always")
    storage = {"secretRef": {"name": SECRET}, "endpoint": bucket.storage.inside}
    for part in (document["spec"]["inputs"][0], document["spec"]["output"]):
        part["storage"] = storage
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_job_from_its_submission_to_its_end(
    shuffle: Shuffle, file: Path, cluster: Cluster, kubectl: Kubectl, bucket: Bucket
) -> None:
    assert shuffle("submit", file).strip() == f"shufflejob {kubectl.namespace}/by-hand submitted"
    assert "AlreadyExists" in shuffle("submit", file, check=False)
    following = subprocess.Popen(
        [PROJECT / ".venv/bin/shuffle", "logs", "by-hand", "--follow", "--namespace", kubectl.namespace],
        env={"KUBECONFIG": str(cluster.kubeconfig), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        watched = shuffle("watch", "by-hand", check=False)
        assert "100 %" in watched
        assert "Complete by-hand" in watched
        followed, _ = following.communicate(timeout=60)
    finally:
        following.kill()
    lines = [line.partition(": ") for line in followed.splitlines()]
    assert {pod for pod, _, _ in lines} == {f"by-hand-w-{worker}-0" for worker in range(3)}
    assert any("registered" in json.loads(line)["message"] for _, _, line in lines)
    assert "Complete" in shuffle("status")
    assert json.loads(shuffle("status", "by-hand", "--json"))["status"]["phase"] == "Complete"
    assert shuffle("logs", "by-hand", "--worker", "1").strip()
    assert "_SUCCESS" in bucket.names(f"{kubectl.namespace}/by-hand/")
    shuffle("cancel", "by-hand")
    assert kubectl.get(KIND, "by-hand") is None
    bucket.remove(f"{kubectl.namespace}/by-hand/")


def test_a_job_is_cancelled(shuffle: Shuffle, submit: Submit, slowly: None) -> None:
    job: Job = submit("unwanted", REPARTITION)
    job.until_phase("Transferring")
    shuffle("cancel", "unwanted")
    until("its pods are gone", lambda: not job.pods(), seconds=60)
    until("nothing is written", lambda: job.bucket.names(job.output) == [], seconds=60)
    assert "there is no ShuffleJob unwanted" in shuffle("status", "unwanted", check=False)


def test_the_doctor(shuffle: Shuffle, file: Path, kubectl: Kubectl, bucket: Bucket) -> None:
    said = shuffle("doctor", file)
    assert "FAILED" not in said
    assert "is ready" in said
    assert "read s3://shuffle-e2e/events/" in said
    assert f"write {bucket.url(kubectl.namespace)}/by-hand/: it is empty" in said
    assert bucket.names(f"{kubectl.namespace}/by-hand/") == []

    document = yaml.safe_load(file.read_text())
    document["spec"]["inputs"][0]["path"] = "s3://no-such-bucket/"
    file.write_text(yaml.safe_dump(document))
    said = shuffle("doctor", file, check=False)
    assert "FAILED   read s3://no-such-bucket/: InputNotFound" in said
    until("its pods are gone", lambda: not kubectl.list("pods"), seconds=60)
