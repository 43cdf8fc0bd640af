"""From an object store to an object store, over HTTP: many requests at once, the same chunks, nothing left over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import s3fs
import xarray as xr
import zarr
from tests.arrays.in_process import HeldShards, read_all
from tests.storage.s3_server import BUCKET, failing, open_s3, s3_error

from shuffle_protocol.errors import AccessDenied, InputNotFound
from shuffle_protocol.jobs import Input, Job, Output, Rechunk, StorageOptions
from shuffle_protocol.memory import MIB, Budgets
from shuffle_worker.arrays.work import ArrayTasks
from shuffle_worker.transfer.work import WorkSetup


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with open_s3() as address:
        yield address


def opened(address: str, path: str) -> Any:
    """A store of the bucket, as others see it."""
    return zarr.storage.FsspecStore(
        s3fs.S3FileSystem(endpoint_url=address, asynchronous=True, skip_instance_cache=True), path=f"{BUCKET}/{path}"
    )


def put(address: str, local: Path, path: str) -> None:
    client = boto3.client("s3", endpoint_url=address)
    for file in local.rglob("*"):
        if file.is_file():
            key = f"{path}/{file.relative_to(local)}"
            client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def keys(address: str, path: str) -> set[str]:
    client = boto3.client("s3", endpoint_url=address)
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{path}/").get("Contents", [])
    return {one["Key"].removeprefix(f"{path}/") for one in found}


def run(address: str, source: str, out: str, operation: Rechunk, scratch: Path, overwrite: bool = False) -> Any:
    storage = StorageOptions(endpoint=address)
    job = Job(
        f"uid-{out}-{overwrite}",
        "test",
        operation,
        [Input([f"s3://{BUCKET}/{source}"], storage=storage)],
        Output(f"s3://{BUCKET}/{out}", overwrite=overwrite, storage=storage),
        2,
        300 * MIB,
    )
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), scratch))
    summary = tasks.plan(job)
    tasks.load(job, summary.fingerprint)
    held = HeldShards()
    elements = read_all(tasks, held, len(summary.split_bytes))
    for group in range(len(summary.group_partitions)):
        tasks.write(group, held).finished()
    return tasks.commit(elements)


def test_a_group_and_then_another_in_its_place(address: str, weather: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    with xr.open_zarr(weather) as whole, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = whole[["t2m"]].isel(time=slice(0, 4), longitude=slice(0, 12)).load().drop_encoding()
        part.to_zarr(small, encoding={"t2m": {"chunks": (1, 18, 12)}})
    put(address, small, "in")
    run(address, "in", "out", Rechunk({"time": -1, "latitude": 9}), tmp_path)
    run(address, "in", "out", Rechunk({"time": 2, "latitude": 6}), tmp_path, overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = xr.open_zarr(opened(address, "out")).load()
    xr.testing.assert_identical(part, after)
    assert after.t2m.encoding["chunks"] == (2, 6, 12)
    left = keys(address, "out")
    assert not any(name.startswith("_shuffle-") for name in left)
    assert {"_SUCCESS", "_manifest.json", "zarr.json"} <= left
    assert len([name for name in left if name.startswith("t2m/c/")]) == 6


def test_without_consolidated_metadata_and_with_shards(address: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((20, 30))
    root = zarr.create_group(tmp_path / "plain")
    below = root.create_group("deep")
    below.create_array("a", data=data, chunks=(2, 5), shards=(10, 15))
    put(address, tmp_path / "plain", "plain")
    run(address, "plain", "shards", Rechunk({"0": 7, "1": 10}, shards={"0": 14}, variables=["deep/a"]), tmp_path)
    found = zarr.open_group(opened(address, "shards"), mode="r")["deep/a"]
    assert isinstance(found, zarr.Array)
    assert found.chunks == (7, 10)
    assert found.shards == (14, 10)
    np.testing.assert_array_equal(found[...], data)


def test_what_cannot_be_read_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="is no Zarr store"):
        run(address, "nothing", "none", Rechunk({}), tmp_path)
    no = (403, s3_error("AccessDenied", "no"))
    with failing(address, lambda _method, _path: no) as refusing, pytest.raises(AccessDenied):
        run(refusing, "in", "none", Rechunk({}), tmp_path)
    assert keys(address, "none") == set()
