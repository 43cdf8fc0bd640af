"""Whole jobs from S3 to S3, over a real HTTP server on the loopback interface: the same bytes as on local disks,
nothing left of what did not end, and stores that cannot be used told in seconds."""

from __future__ import annotations

import hashlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.jobs import data
from tests.jobs.harness import MIB, Bench, Watched, run_watched, sums, wait_until
from tests.storage.s3_server import BUCKET, failing, open_s3, s3_error

from shuffle_protocol.messages import Phase

SORT: dict[str, Any] = {"sort": {"by": [{"column": "score"}, {"column": "name", "order": "Descending"}]}}
OUTPUT = {"partitions": 4}


class Store:
    """The server, looked at from outside."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = boto3.client("s3", endpoint_url=address)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self, prefix: str) -> list[str]:
        return [
            found["Key"] for found in self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        ]

    def uploads(self) -> list[str]:
        return [found["Key"] for found in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def sums(self, prefix: str) -> dict[str, str]:
        """As `harness.sums` has them of a folder."""
        names = [key.removeprefix(f"{prefix}/") for key in self.keys(f"{prefix}/")]
        bodies = {name: self._client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"] for name in names}
        return {n: hashlib.sha256(body.read()).hexdigest() for n, body in bodies.items() if n != "_manifest.json"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s3") / "in"
    data.write_events(folder, files=6, rows=1_500, width=1_500)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than a small worker holds, and than goes up in one part."""
    folder = tmp_path_factory.mktemp("s3") / "large"
    data.write_events(folder, files=6, rows=5_000, width=2_500)
    return folder


@pytest.fixture(scope="module")
def store(local: Path, large: Path) -> Iterator[Store]:
    """With the inputs below `in/` and `large/`."""
    with open_s3() as address:
        store = Store(address)
        for folder in (local, large):
            for file in folder.iterdir():
                store.put(f"{folder.name}/{file.name}", file.read_bytes())
        yield store


def job_on(bench: Bench, address: str, out: str, source: str = "in", **output: Any) -> Path:
    storage = {"endpoint": address}
    return bench.job(
        SORT,
        {"path": f"s3://{BUCKET}/{source}/", "storage": storage},
        {"path": f"s3://{BUCKET}/{out}", "storage": storage, **OUTPUT, **output},
    )


async def test_memory_is_kept(bench: Bench, store: Store) -> None:
    """One worker is planner, reader and writer: clients of the store and bodies on their way count like all else."""
    job = bench.loaded(job_on(bench, store.address, "memory", "large"), workers=1, memory=288 * MIB)
    end, _ = await run_watched(bench, job)
    assert end.phase == "Complete", end.cause
    assert end.bytes_spilled > 0
    assert end.memory_peak < 288 * MIB


def nothing_left(store: Store, out: str) -> None:
    assert store.keys(f"{out}/") == []
    assert store.uploads() == []


def test_the_same_bytes_as_on_local_disks(bench: Bench, store: Store, local: Path) -> None:
    bench.complete(bench.job(SORT, local, OUTPUT), workers=1)
    summary = bench.complete(job_on(bench, store.address, "sort"))
    assert summary.output == f"s3://{BUCKET}/sort"
    assert summary.rows_written == 9_000
    assert store.sums("sort") == sums(bench.out)
    assert store.uploads() == []
    refused = bench.run(bench.root / "job.yaml", workers=1)
    assert refused.code == 2
    assert "OutputExists" in refused.err
    assert store.sums("sort") == sums(bench.out)


def test_shards_by_way_of_the_store(bench: Bench, store: Store, local: Path) -> None:
    bench.complete(bench.job(SORT, local, OUTPUT), workers=1)
    job = bench.job(
        SORT,
        {"path": f"s3://{BUCKET}/in/", "storage": {"endpoint": store.address}},
        {"path": f"s3://{BUCKET}/by-store", "storage": {"endpoint": store.address}, **OUTPUT},
        method="ObjectStore",
    )
    assert bench.complete(job).rows_written == 9_000
    assert store.sums("by-store") == sums(bench.out)
    assert store.uploads() == []


def test_older_output_is_replaced(bench: Bench, store: Store) -> None:
    bench.complete(job_on(bench, store.address, "older", partitions=6), workers=1)
    new = bench.complete(job_on(bench, store.address, "older", partitions=3, onExisting="Overwrite"), workers=1)
    assert new.files == 3
    found = store.keys("older/")
    assert sorted(found) == sorted(
        ["older/_SUCCESS", "older/_manifest.json", *(f"older/part-{n:05}.parquet" for n in range(3))]
    )


def test_interrupted(bench: Bench, store: Store) -> None:
    program = bench.start(bench.command(job_on(bench, store.address, "interrupted", partitions=40)))
    wait_until(lambda: any("/group-" in key for key in store.keys("interrupted/")), "the first group")
    program.send_signal(signal.SIGTERM)
    _out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    nothing_left(store, "interrupted")


async def test_a_killed_worker_leaves_no_upload(bench: Bench, store: Store, large: Path) -> None:
    """Large files go up in parts; those of a process that was killed are found and removed, and written again."""

    async def kill(run: Watched) -> None:
        await run.until(store.uploads, "a large file to be on its way")
        assert run.local.machine.state.phase is Phase.WRITING
        run.kill(*run.pids())

    output: dict[str, Any] = {"partitions": 2, "compression": "None"}
    bench.complete(bench.job(SORT, large, output), workers=1)
    job = bench.loaded(job_on(bench, store.address, "killed", "large", **output), workers=1)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == 1
    assert store.sums("killed") == sums(bench.out)
    assert store.uploads() == []


# -- stores that cannot be used ---------------------------------------------------------------------------------------


def refused(bench: Bench, job: Path, *words: str) -> None:
    outcome = bench.run(job, workers=1)
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_a_bucket_that_does_not_exist(bench: Bench, store: Store) -> None:
    storage = {"endpoint": store.address}
    job = bench.job(SORT, {"path": "s3://no-such-bucket/in/", "storage": storage})
    refused(bench, job, "InputNotFound", "no-such-bucket")
    job = bench.job(
        SORT,
        {"path": f"s3://{BUCKET}/in/", "storage": storage},
        {"path": "s3://no-such-bucket/out", "storage": storage},
    )
    refused(bench, job, "no-such-bucket")


def test_wrong_credentials(bench: Bench, store: Store) -> None:
    with failing(store.address, lambda method, path: (403, s3_error("InvalidAccessKeyId"))) as address:
        refused(bench, job_on(bench, address, "denied"), "AccessDenied", f"s3://{BUCKET}/in")


def test_nobody_listens(bench: Bench, store: Store) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused(bench, job_on(bench, address, "nobody"), "StorageUnavailable", address)


def test_an_endpoint_that_never_answers(bench: Bench, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        storage = {"endpoint": address, "options": {"read_timeout": 1}}
        job = bench.job(SORT, {"path": f"s3://{BUCKET}/in/", "storage": storage})
        refused(bench, job, "StorageUnavailable", address)


def test_a_store_that_goes_away(bench: Bench, store: Store) -> None:
    """It refuses to take any more output: the job fails with what it said, and what it had is removed."""

    def full(method: str, path: str) -> tuple[int, bytes] | None:
        return (403, s3_error("AccessDenied", "read only now")) if method == "PUT" and "part-00002" in path else None

    with failing(store.address, full) as address:
        outcome = bench.run(job_on(bench, address, "away"))
    assert outcome.code == 1, outcome.err
    assert "AccessDenied" in outcome.err
    assert "part-00002" in outcome.err
    assert "Traceback" not in outcome.err
    nothing_left(store, "away")
