"""Rechunk jobs from their file to the store that they leave, with worker processes; opened as people open it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from tests.arrays.in_process import make
from tests.jobs.harness import Bench, Watched, run_watched


def job(bench: Bench, rechunk: dict[str, Any], source: Path, output: dict[str, Any] | None = None) -> Path:
    """A job file, without the compression that the bench gives to tables."""
    path = bench.job({"rechunk": rechunk}, source, {"format": "Zarr", **(output or {})})
    path.write_text(path.read_text().replace("    compression: Snappy\n", ""))
    return path


@pytest.fixture
def weather(tmp_path: Path) -> Path:
    """A data set in xarray's layout: two variables over time and place, coordinates, text, attributes."""
    rng = np.random.default_rng(5)
    steps = np.datetime64("2026-01-01", "ns") + np.arange(48) * np.timedelta64(3600, "s")
    data = xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), rng.random((48, 18, 36), np.float32), {"units": "K"}),
            "rain": (("time", "latitude", "longitude"), rng.random((48, 18, 36)), {"long_name": "Regen"}),
        },
        coords={
            "time": steps,
            "latitude": np.linspace(90, -90, 18),
            "longitude": np.arange(0, 360, 10.0),
            "station": ("latitude", [f"Ort {n}" for n in range(18)]),
        },
        attrs={"title": "made up", "numbers": [1, 2, 3]},
    )
    path = tmp_path / "weather.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_zarr(path, encoding={"t2m": {"chunks": (1, 18, 36)}, "rain": {"chunks": (2, 9, 36)}})
    return path


def test_a_group_as_xarray_writes_it(bench: Bench, weather: Path) -> None:
    end = bench.complete(job(bench, {"chunks": {"time": -1, "latitude": 6, "longitude": 7}}, weather))
    before = xr.open_zarr(weather)
    after = xr.open_zarr(bench.out)
    xr.testing.assert_identical(before.load(), after.load())
    assert after.t2m.encoding["chunks"] == (48, 6, 7)
    assert after.rain.encoding["chunks"] == (48, 6, 7)
    assert zarr.open_group(bench.out, mode="r").metadata.consolidated_metadata is not None
    assert end.rows_read == end.rows_written == sum(v.size for v in before.variables.values())
    assert "elements" in end.message
    found = json.loads((bench.out / "_manifest.json").read_text())
    assert found["elements"] == end.rows_written
    assert {one["path"] for one in found["arrays"]} == set(before.variables)
    assert (bench.out / "_SUCCESS").exists()


def test_variables_come_with_their_coordinates(bench: Bench, weather: Path) -> None:
    asked = {"chunks": {"time": 24}, "variables": ["t2m"], "select": {"time": "6:30"}, "zarrFormat": "V2"}
    bench.complete(job(bench, asked, weather))
    after = xr.open_zarr(bench.out)
    before = xr.open_zarr(weather)[["t2m"]].isel(time=slice(6, 30))
    assert set(after.variables) == {"t2m", "time", "latitude", "longitude", "station"}
    np.testing.assert_array_equal(after.t2m.values, before.t2m.values)
    np.testing.assert_array_equal(after.time.values, before.time.values)
    assert (bench.out / ".zmetadata").exists()


async def test_a_killed_worker_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.random((64, 96, 160), np.float32)
    make(tmp_path / "in", data, (2, 96, 160), compressors=None)

    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.workers_ready == 2 == len(run.pids()), "two workers")
        await run.until(lambda: run.now.splits_done >= 2, "splits done")
        run.kill(1)

    path = job(bench, {"chunks": {"0": -1, "1": 24, "2": 32}}, tmp_path / "in")
    end, _ = await run_watched(bench, bench.loaded(path), kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], data)
    assert end.rows_read == end.rows_written == data.size


def test_bytes_do_not_depend_on_workers_or_memory(bench: Bench, tmp_path: Path) -> None:
    data = np.random.default_rng(2).integers(0, 50, (40, 30, 50))
    make(tmp_path / "in", data, (7, 30, 11))
    digests = set()
    for workers, memory in ((1, "256Mi"), (3, "400Mi")):
        bench.complete(
            job(bench, {"chunks": {"0": 13, "1": 8, "2": -1}}, tmp_path / "in", {"onExisting": "Overwrite"}),
            workers=workers,
            memory=memory,
        )
        found = json.loads((bench.out / "_manifest.json").read_text())
        digests.add(json.dumps(found["arrays"]))
        np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], data)
    assert len(digests) == 1


def test_older_output_is_replaced_whole(bench: Bench, tmp_path: Path) -> None:
    make(tmp_path / "one", np.arange(100), (10,))
    make(tmp_path / "two", np.arange(30) * 2, (10,))
    bench.complete(job(bench, {"chunks": {"0": 5}}, tmp_path / "one"), workers=1)
    refused = bench.run(job(bench, {"chunks": {"0": 5}}, tmp_path / "two"), workers=1)
    assert refused.code == 2
    assert "holds" in refused.err
    bench.complete(job(bench, {"chunks": {"0": 6}}, tmp_path / "two", {"onExisting": "Overwrite"}), workers=1)
    found = zarr.open_array(bench.out, mode="r")
    np.testing.assert_array_equal(found[...], np.arange(30) * 2)
    assert found.chunks == (6,)
    assert not (bench.out / "c" / "9").exists()
