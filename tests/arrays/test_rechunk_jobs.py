"""Rechunk jobs from their file to the store that they leave, with worker processes; opened as people open it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xarray as xr
import zarr
from tests.arrays.in_process import make
from tests.jobs.harness import Bench, Watched, run_watched, watched

from shuffle_operator.coordinator.events import Restored
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import Phase


def job(bench: Bench, rechunk: dict[str, Any], source: Path, output: dict[str, Any] | None = None) -> Path:
    """A job file, without the compression that the bench gives to tables."""
    path = bench.job({"rechunk": rechunk}, source, {"format": "Zarr", **(output or {})})
    path.write_text(path.read_text().replace("    compression: Snappy\n", ""))
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


SMALL_WAVES = """
from shuffle_worker.arrays import layout
layout.LEAST_WAVE_BYTES = layout.LEAST_BOX_BYTES = layout.LEAST_PIECE_BYTES = layout.SMALL_GROUP_BYTES = 1 << 16
"""
"""So that a small array has what otherwise only large ones have: several waves, many splits and groups."""


@pytest.mark.parametrize(("length", "waves"), [(-1, 1), (8, 4)])
async def test_a_killed_worker_changes_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, waves: int
) -> None:
    data = np.random.default_rng(1).random((64, 96, 160), np.float32)
    make(tmp_path / "in", data, (2, 96, 160), compressors=None)
    monkeypatch.setenv("PYTHONPATH", bench.inject(SMALL_WAVES)["PYTHONPATH"])

    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.workers_ready == 2 == len(run.pids()), "two workers")
        await run.until(lambda: run.now.splits_done >= 2, "splits done")
        run.kill(1)

    path = job(bench, {"chunks": {"0": length, "1": 24, "2": 32}}, tmp_path / "in")
    end, run = await run_watched(bench, bench.loaded(path), kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    ledger = run.local.machine.state.ledger
    assert ledger is not None
    assert len(set(ledger.facts.group_wave) or {0}) >= waves
    np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], data)
    assert end.rows_read == end.rows_written == data.size


async def test_after_everything_was_gone_the_job_goes_on_from_what_is_written(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coordinator and workers gone at once, and another number of workers afterwards, for which the job would be cut in
    another way: it goes by the plan that was saved."""
    data = np.random.default_rng(1).random((64, 96, 160), np.float32)
    make(tmp_path / "in", data, (2, 96, 160), compressors=None)
    slow = "import time\nfrom shuffle_worker.arrays.writer import Writer\nbefore = Writer.write\n"
    slow += "Writer.write = lambda *a: (time.sleep(0.05), before(*a))[1]\n"
    monkeypatch.setenv("PYTHONPATH", bench.inject(SMALL_WAVES + slow)["PYTHONPATH"])
    path = job(bench, {"chunks": {"0": -1, "1": 24, "2": 32}}, tmp_path / "in")
    first = bench.loaded(path, workers=2)

    async def give_up(run: Watched) -> None:
        await run.until(lambda: run.now.groups_written >= 4, "some groups")
        run.local.give_up()

    before, _ = await run_watched(bench, first, give_up)
    assert before.phase is Phase.WRITING
    kept = {path: path.stat().st_mtime_ns for path in (bench.out / "c").rglob("*") if path.is_file()}
    assert len(kept) >= before.groups_written
    again = watched(bench, msgspec.structs.replace(first, workers=3))
    again.local.machine = Coordinator(again.local.machine.state.job, Settings(patience=1.0), generation=1)
    again.local.machine.handle(Restored(survivors=True), 0.0)
    end = await again.local.run()
    assert end.phase is Phase.COMPLETE, end.cause
    (resumed,) = [note.message for note in again.notes if note.reason == "Resumed"]
    assert int(resumed.split()[0]) >= before.groups_written
    assert sum(path.stat().st_mtime_ns == at for path, at in kept.items()) >= before.groups_written
    np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], data)


SMOOTH = """
import numpy as np
def smooth(block):
    out = block.astype("f4")
    for axis in range(block.ndim):
        out = out + np.roll(out, 1, axis) + np.roll(out, -1, axis)
    return out
"""
"""Looks one position far in each dimension, and is right for all but the halo itself, which is cut off."""


def smoothed(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """With nothing but zeros beyond the ends."""
    space: dict[str, Any] = {}
    exec(SMOOTH, space)
    found: np.ndarray[Any, Any] = space["smooth"](np.pad(data, 1))[1:-1, 1:-1, 1:-1]
    return found


@pytest.mark.parametrize(("workers", "method"), [(1, "PeerToPeer"), (2, "ObjectStore"), (7, "PeerToPeer")])
def test_a_function_with_a_halo_gives_the_same_for_any_workers(
    bench: Bench, tmp_path: Path, workers: int, method: str
) -> None:
    data = np.random.default_rng(1).integers(0, 100, (32, 48, 40), dtype="i2")
    make(tmp_path / "in", data, (2, 48, 40))
    asked = {
        "chunks": {"0": 16, "1": 9},
        "apply": "smooths:smooth",
        "overlap": {"depth": {"0": 1, "1": 1, "2": 1}, "boundary": 0},
    }
    path = bench.job({"rechunk": asked}, tmp_path / "in", {"format": "Zarr"}, method=method)
    path.write_text(path.read_text().replace("    compression: Snappy\n", ""))
    (path.parent / "smooths.py").write_text(SMOOTH)
    end = bench.complete(path, workers=workers, memory="600Mi")
    assert end.rows_read == end.rows_written == data.size
    np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], smoothed(data))


async def test_a_killed_worker_changes_nothing_in_what_a_function_gives(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(1).integers(0, 100, (64, 96, 80), dtype="i2")
    make(tmp_path / "in", data, (2, 96, 80), compressors=None)
    monkeypatch.setenv("PYTHONPATH", bench.inject(SMALL_WAVES)["PYTHONPATH"])

    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.workers_ready == 2 == len(run.pids()), "two workers")
        await run.until(lambda: run.now.splits_done >= 2, "splits done")
        run.kill(1)

    asked = {
        "chunks": {"0": -1, "1": 24},
        "apply": "smooths:smooth",
        "overlap": {"depth": {"0": 1, "1": 1, "2": 1}, "boundary": 0},
    }
    path = job(bench, asked, tmp_path / "in")
    (path.parent / "smooths.py").write_text(SMOOTH)
    end, _ = await run_watched(bench, bench.loaded(path, memory=600 << 20), kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    np.testing.assert_array_equal(zarr.open_array(bench.out, mode="r")[...], smoothed(data))
    assert end.rows_read == end.rows_written == data.size
