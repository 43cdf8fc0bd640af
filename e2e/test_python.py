"""The Python API against the cluster: a job is submitted, waited for, read, refused, interrupted and cancelled."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import yaml

from e2e.harness.cluster import PROJECT, Cluster
from e2e.harness.jobs import KIND, SECRET, Job
from e2e.harness.kubectl import Kubectl
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until
from shuffle_operator import InvalidJob, KubeError, ShuffleJob, read_parquet, storage
from shuffle_operator.client.sync import Client
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.errors import AccessDenied, InputNotFound, InvalidSpec, JobError, OutputExists

Make = Callable[..., ShuffleJob]


@pytest.fixture(autouse=True)
def here(cluster: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has a kubeconfig, and credentials of its own for what jobs write."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.storage.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.storage.secret)


@pytest.fixture
def make(kubectl: Kubectl, bucket: Bucket) -> Iterator[Make]:
    """A job over the events, in the test's namespace."""
    made: list[str] = []
    lake = storage(SECRET, endpoint=bucket.storage.inside)

    def make(name: str, source: str = "events/", **output: object) -> ShuffleJob:
        target = f"{kubectl.namespace}/{name}/"
        made.append(target)
        read = read_parquet(bucket.url(source), columns=["user_id", "ts", "kind"], storage=lake)
        job = read.repartition("user_id").write_parquet(
            bucket.url(target), storage=lake, **{"partitions": 6, "sort_within": "ts", **output}
        )
        limits = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}
        return job.named(name, namespace=kubectl.namespace).with_workers(
            replicas=2, resources=limits, scratch={"sizeLimit": "2Gi"}
        )

    yield make
    for target in made:
        bucket.remove(target)


def outside(bucket: Bucket) -> object:
    """The store as this process reaches it."""
    return storage(endpoint=bucket.storage.outside)


def job_in(kubectl: Kubectl, bucket: Bucket, name: str) -> Job:
    return Job(name, f"{kubectl.namespace}/{name}/", kubectl, bucket)


def test_a_job_from_its_submission_to_its_rows(make: Make, bucket: Bucket, events: Path) -> None:
    seen: list[Snapshot] = []
    made = make("whole").submit()
    assert made.status().phase in ("Pending", "Planning", "Transferring", "Writing")
    result = made.wait(timeout=240, progress=seen.append)
    assert (seen[-1].phase, seen[-1].progress) == ("Complete", 100)
    assert [one.progress for one in seen] == sorted(one.progress for one in seen)
    result = result.reached_by(outside(bucket))
    assert (result.files, result.name, result.uid) == (6, "whole", made.uid)

    table = result.to_arrow()
    expected = ds.dataset(events).to_table(columns=["user_id", "ts", "kind"])
    assert result.rows == table.num_rows == expected.num_rows
    order = [("user_id", "ascending"), ("ts", "ascending"), ("kind", "ascending")]
    assert table.sort_by(order).equals(expected.sort_by(order).cast(table.schema))
    assert len(result.paths) == 6
    assert len(result.to_pandas()) == result.rows
    some = table["user_id"][0].as_py()
    found = result.dataset().to_table(filter=pc.field("user_id") == some)
    assert found.num_rows == pc.sum(pc.equal(expected["user_id"], some)).as_py()
    assert result.scan_polars().select("kind").unique().collect().height == len(expected["kind"].unique())
    assert pa.types.is_timestamp(table.schema.field("ts").type)
    assert "Complete" in result._repr_html_()


def test_its_logs_are_followed(make: Make, kubectl: Kubectl) -> None:
    made = make("followed").configure(pod_retention="Always").submit()
    with Client(namespace=kubectl.namespace) as client:
        lines = list(client.follow(made.name))
        assert {pod for pod, _ in lines} == {"followed-w-0-0", "followed-w-1-0"}
        assert client.wait(made.name, check=True).complete
    assert made.logs(worker=1, lines=3).keys() == {"followed-w-1-0"}


def test_what_is_refused_before_anything_runs(
    make: Make, kubectl: Kubectl, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidJob, match=r"write_parquet\(partitions=...\): found 0"):
        make("wrong", partitions=0)
    with pytest.raises(KubeError, match="no-such-place") as refused:
        make("nowhere").submit(namespace="no-such-place")
    assert refused.value.reason == "NotFound"

    first = make("twice").submit()
    with pytest.raises(KubeError, match="already exists"):
        make("twice").submit()
    assert make("twice").submit(adopt=True) == first
    with pytest.raises(KubeError, match="already exists"):
        make("twice", partitions=7).submit(adopt=True)
    first.wait(timeout=240)

    monkeypatch.setenv("KUBECONFIG", str(of_nobody(kubectl, cluster, tmp_path)))
    with pytest.raises(KubeError, match=f"nobody.*cannot create .*{kubectl.namespace}") as refused:
        make("forbidden").submit()
    assert refused.value.reason == "Forbidden"
    assert kubectl.get(KIND, "forbidden") is None


def of_nobody(kubectl: Kubectl, cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of an account without any rights."""
    kubectl("create", "serviceaccount", "nobody")
    about = {"name": "nobody-token", "annotations": {"kubernetes.io/service-account.name": "nobody"}}
    kind = "kubernetes.io/service-account-token"
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": about, "type": kind})

    def token() -> str:
        return ((kubectl.get("secret", "nobody-token") or {}).get("data") or {}).get("token", "")

    config = yaml.safe_load(cluster.kubeconfig.read_text())
    secret = until("the account has a token", token, seconds=30)
    config["users"][0]["user"] = {"token": base64.b64decode(secret).decode()}
    file = folder / "nobody.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.parametrize(
    ("name", "source", "error", "about"),
    [
        ("no-input", "no-such-folder/", InputNotFound, "no-such-folder"),
        ("no-bucket", "../no-such-bucket/x/", InputNotFound, "no-such-bucket"),
    ],
)
def test_a_job_that_fails_raises_what_a_run_here_raises(
    make: Make, bucket: Bucket, kubectl: Kubectl, name: str, source: str, error: type[JobError], about: str
) -> None:
    path = source.removeprefix("../")
    job = make(name, path)
    if path != source:
        job = ShuffleJob.from_yaml(job.to_yaml().replace(bucket.url(path), f"s3://{path}"))
    made = job.submit()
    with pytest.raises(error, match=about) as raised:
        made.wait(timeout=240)
    assert raised.value.reason == made.status().reason == error.__name__
    assert not raised.value.message.startswith(error.__name__)
    until("its pods are gone", lambda: not job_in(kubectl, bucket, name).running(), seconds=60)


def test_an_output_that_is_there_and_a_store_that_is_not_allowed(make: Make, bucket: Bucket) -> None:
    done = make("first").submit().wait(timeout=240)
    again = make("first").submit(name="second")
    with pytest.raises(OutputExists, match="first"):
        again.wait(timeout=240)
    assert done.reached_by(outside(bucket)).to_arrow().num_rows == done.rows

    local = make("third").to_yaml().replace(bucket.url("events/"), "/data/events/")
    with pytest.raises(InvalidSpec, match=r"inputs\[0\]"):
        ShuffleJob.from_yaml(local).submit().wait(timeout=60)
    with pytest.raises(AccessDenied):
        done.reached_by(storage(endpoint=bucket.storage.outside, options={"key": "a", "secret": "b"})).to_arrow()


def test_waiting_ends_and_the_job_goes_on(make: Make, slowly: None, kubectl: Kubectl, bucket: Bucket) -> None:
    made = make("patient").submit()
    with pytest.raises(TimeoutError, match=f"{kubectl.namespace}/patient is not finished after 1 s"):
        made.wait(timeout=1)

    script = f"""
from shuffle_local.python.cluster import ClusterJob
from shuffle_operator import ShuffleJob
job = ShuffleJob.from_yaml({make("patient").to_yaml()!r})
made = job.submit(adopt=True)
print(made.uid, flush=True)
made.wait(progress=lambda now: print(now.phase, flush=True))
"""
    waiting = subprocess.Popen(
        [PROJECT / ".venv/bin/python", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().strip() == made.uid
        assert waiting.stdout.readline().strip()
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=30)
    finally:
        waiting.kill()
    assert "KeyboardInterrupt" in said
    assert "the job patient goes on in the cluster; cancel() stops it" in said
    job = job_in(kubectl, bucket, "patient")
    job.until_phase("Transferring", "Writing")
    assert made.cancel()
    until("its pods are gone", lambda: not job.pods(), seconds=60)
    until("nothing is written", lambda: bucket.names(job.output) == [], seconds=60)
    assert kubectl.get(KIND, "patient") is None
    assert not made.cancel()
    with pytest.raises(KubeError, match="there is no ShuffleJob patient"):
        made.status()


def test_several_at_once_in_a_loop(make: Make, bucket: Bucket) -> None:
    async def whole(name: str) -> int:
        made = await make(name).submit_async()
        result = await made.wait_async(timeout=300)
        return (await asyncio.to_thread(result.reached_by(outside(bucket)).to_arrow)).num_rows

    async def both() -> list[int]:
        return await asyncio.gather(whole("one"), whole("other"))

    first, second = asyncio.run(both())
    assert first == second > 0
