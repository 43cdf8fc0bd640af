"""What a rechunk leaves in its folder: whole groups, parts of them, older output replaced, nothing where it failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xarray as xr
import zarr
from tests.arrays.in_process import MIB, HeldShards, make, read_all, rechunk, rechunk_job

from shuffle_protocol.errors import Internal, OutputExists
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_worker.arrays.persist import decode, encode
from shuffle_worker.arrays.work import ArrayTasks
from shuffle_worker.transfer.work import WorkSetup


def test_variables_come_with_their_coordinates(weather: Path, tmp_path: Path) -> None:
    operation = Rechunk({"time": 24}, variables=["t2m"], select={"time": "6:30"}, zarr_format=2)
    rechunk(rechunk_job(weather, tmp_path / "out", operation), tmp_path)
    after = xr.open_zarr(tmp_path / "out")
    before = xr.open_zarr(weather)[["t2m"]].isel(time=slice(6, 30))
    assert set(after.variables) == {"t2m", "time", "latitude", "longitude", "station"}
    xr.testing.assert_identical(before.load(), after.load())
    assert (tmp_path / "out" / ".zmetadata").exists()
    assert after.t2m.dims == ("time", "latitude", "longitude")


@pytest.mark.parametrize("memory", [256 * MIB, 1024 * MIB])
@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize(
    "how", [{}, {"compression": "Gzip"}, {"compression": "Gzip", "shards": {"time": -1}}, {"zarr_format": 2}]
)
def test_the_output_does_not_depend_on_workers_or_memory(
    weather: Path, tmp_path: Path, memory: int, workers: int, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = Rechunk({"time": 13, "latitude": 5, "longitude": -1}, **how)
    plain, _ = rechunk(rechunk_job(weather, tmp_path / "plain", operation), tmp_path)
    monkeypatch.setattr("time.time", lambda: 1e9)  # gzip would write it down
    other, _ = rechunk(rechunk_job(weather, tmp_path / "other", operation, workers, memory), tmp_path)
    assert files(tmp_path / "plain") == files(tmp_path / "other")
    assert digests(tmp_path / "plain") == digests(tmp_path / "other")
    assert len(plain.splits) > 0
    assert len(other.splits) > 0


def files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found["_manifest.json"]
    return found


def digests(folder: Path) -> dict[str, str]:
    return {one["path"]: one["digest"] for one in json.loads((folder / "_manifest.json").read_text())["arrays"]}


def test_older_output_is_replaced_whole(tmp_path: Path) -> None:
    make(tmp_path / "one", np.arange(100), (10,))
    make(tmp_path / "two", np.arange(30) * 2, (10,))
    out = tmp_path / "out"
    rechunk(rechunk_job(tmp_path / "one", out, Rechunk({"0": 5}), uid="first"), tmp_path)
    with pytest.raises(OutputExists, match=r"set output\.onExisting: Overwrite"):
        rechunk(rechunk_job(tmp_path / "two", out, Rechunk({"0": 6}), uid="second"), tmp_path)
    rechunk(rechunk_job(tmp_path / "two", out, Rechunk({"0": 6}), overwrite=True, uid="third"), tmp_path)
    found = zarr.open_array(out, mode="r")
    np.testing.assert_array_equal(found[...], np.arange(30) * 2)
    assert found.chunks == (6,)
    assert sorted(int(path.name) for path in (out / "c").iterdir()) == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in out.iterdir()) == ["_SUCCESS", "_manifest.json", "c", "zarr.json"]


def written(job: Job, scratch: Path) -> tuple[ArrayTasks, int]:
    """The job, all but its commit."""
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), scratch))
    summary = tasks.plan(job)
    tasks.load(job, summary.fingerprint)
    held = HeldShards()
    elements = read_all(tasks, held, len(summary.split_bytes))
    for group in range(len(summary.group_partitions)):
        tasks.write(group, held).finished()
    return tasks, elements


@pytest.mark.parametrize("overwrite", [False, True])
def test_there_is_no_store_before_the_commit(weather: Path, tmp_path: Path, overwrite: bool) -> None:
    out = tmp_path / "out"
    tasks, elements = written(rechunk_job(weather, out, Rechunk({"time": 7}), overwrite=overwrite), tmp_path)
    for path in (out, out / "t2m", out / "time"):
        with pytest.raises(FileNotFoundError):
            zarr.open(path, mode="r")
    tasks.commit(elements)
    assert len(list(zarr.open_group(out, mode="r").arrays())) == 6
    again = tasks.commit(elements)  # by a worker that does not know that it was done
    assert again.rows == elements


def test_elements_that_are_missing_stop_the_commit(weather: Path, tmp_path: Path) -> None:
    tasks, elements = written(rechunk_job(weather, tmp_path / "out", Rechunk({"time": 7})), tmp_path)
    with pytest.raises(Internal, match="elements were read but"):
        tasks.commit(elements + 1)
    assert not (tmp_path / "out" / "zarr.json").exists()


def test_a_box_that_is_not_whole_is_not_written(tmp_path: Path) -> None:
    make(tmp_path / "in", np.arange(20), (5,))
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 4}))
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path))
    tasks.load(job, tasks.plan(job).fingerprint)
    held = HeldShards()
    read_all(tasks, held, 1)
    held.held[0].pop()
    with pytest.raises(Internal, match="elements arrived for a box of"):
        tasks.write(0, held).finished()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_job_that_failed_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, overwrite: bool) -> None:
    make(tmp_path / "in", np.arange(60).reshape(6, 10), (1, 10))
    out = tmp_path / "out"
    if overwrite:
        rechunk(rechunk_job(tmp_path / "in", out, Rechunk({"0": 2}), uid="before"), tmp_path)
        before = files(out)
    job = rechunk_job(tmp_path / "in", out, Rechunk({"0": 3, "1": 5}), overwrite=overwrite, uid="now")
    tasks, _ = written(job, tmp_path)
    tasks.abort(job)
    if overwrite:
        assert files(out) == before
        assert {path.name for path in out.iterdir()} == {"_SUCCESS", "_manifest.json", "c", "zarr.json"}
    else:
        assert not out.exists()


def test_only_the_pieces_that_a_lost_group_needs_are_read_again(tmp_path: Path) -> None:
    """What a worker owned and had not written is lost: chunks that have nothing to do with it are not opened."""
    make(tmp_path / "in", np.zeros((64, 1 << 16)) + 1, (1, 1 << 16), compressors=None)
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 8}), workers=2)
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path))
    summary = tasks.plan(job)
    tasks.load(job, summary.fingerprint)
    everything = HeldShards()
    elements = read_all(tasks, everything, len(summary.split_bytes))
    lost = [0, 3]
    needed = HeldShards()
    size = 0
    again = 0
    for split in range(len(summary.split_bytes)):
        for step in tasks.read(split, frozenset(lost)):
            needed.add(split, step.shards)
            again += step.rows
            size += step.bytes_read
    assert again == elements  # counted as before, so that the sums agree
    assert size < summary.input_bytes / 2
    buckets = {bucket for group in lost for bucket in tasks.buckets_of(group)}
    assert set(needed.held) == buckets
    for bucket in buckets:
        one = {bytes(b"".join(bytes(p) for p in shard.payload)) for _, shard in needed.held[bucket]}
        two = {bytes(b"".join(bytes(p) for p in shard.payload)) for _, shard in everything.held[bucket]}
        assert one == two


def test_shards_too_large_for_memory_are_read_chunk_by_chunk(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 9, (32, 1 << 17), dtype=np.int32)
    array = make(tmp_path / "in", data, (4, 1 << 15), shards=(16, 1 << 17))
    array[16:20] = 0  # chunks of nothing but the fill value are not in their shard
    operation = Rechunk({"0": 5, "1": 1 << 14}, select={"0": "1:30:3"})
    plan, _ = rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", operation, memory=256 * MIB), tmp_path)
    assert plan.arrays[0].inner
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out", mode="r")[...], array[1:30:3])


def test_a_plan_is_made_once(tmp_path: Path) -> None:
    """What was written goes by it: it stays though the job has another number of workers and the input has grown."""
    make(tmp_path / "in", np.arange(400, dtype="i4").reshape(20, 20), (5, 20))
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 20, "1": 2}), workers=2)
    before = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path)).plan(job)
    (tmp_path / "in" / "c" / "1" / "0").unlink()
    again = msgspec.structs.replace(job, workers=7)
    assert ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path)).plan(again) == before
    other = msgspec.structs.replace(job, operation=Rechunk({"0": 20, "1": 4}))
    assert ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path)).plan(other).fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_plan_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    make(tmp_path / "in", np.arange(400, dtype="i4").reshape(20, 20), (5, 20))
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 20, "1": 2}))
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path))
    before = tasks.plan(job)
    (path,) = (tmp_path / "out").rglob("plan")
    if damage is None:  # whole, but not what its fingerprint says
        plan = decode(path.read_bytes(), str(path))
        path.write_bytes(encode(msgspec.structs.replace(plan, buckets=plan.buckets[::-1])))
    else:
        path.write_bytes(damage)
    assert tasks.plan(job) == before
    tasks.load(job, before.fingerprint)
