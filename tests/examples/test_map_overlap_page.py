"""docs/map-overlap.md: its job is the example's, which is run and compared, and its error is one that comes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from shuffle_local.cli.main import execute
from shuffle_operator.api.validation import load_job

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/map-overlap.md").read_text()
JOB, FUNCTION, PYTHON = (
    found for kind in ("yaml", "python") for found in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
)
EXAMPLE = PROJECT / "examples/apply/smooth-weather.yaml"
RUN = ["run", "smooth-weather.yaml", "--quiet", "--workers", "2", "--memory", "768Mi"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make = [sys.executable, str(PROJECT / "examples/demo/make_weather.py"), "demo/weather.zarr", "--days", "4"]
    subprocess.run(make, capture_output=True, check=True)
    (tmp_path / "smooth-weather.yaml").write_text(JOB)
    (tmp_path / "smoothing.py").write_text(FUNCTION)
    return tmp_path


def test_the_page_shows_the_example() -> None:
    assert yaml.safe_load(JOB) == yaml.safe_load(EXAMPLE.read_text())
    body = FUNCTION.partition("\n\n\n")[2]
    assert (PROJECT / "examples/apply/smoothing.py").read_text().endswith(body)


def test_each_place_is_the_mean_of_it_and_its_neighbours(folder: Path) -> None:
    assert execute(RUN) == 0
    before, after = xr.open_zarr("demo/weather.zarr"), xr.open_zarr("demo/smooth-weather.zarr")
    data = before.t2m.values
    for axis, mode in ((1, "edge"), (2, "wrap")):
        wide = np.pad(data, [(1, 1) if at == axis else (0, 0) for at in range(3)], mode=mode)  # type: ignore[call-overload]
        left, here, right = (np.take(wide, range(k, k + data.shape[axis]), axis) for k in range(3))
        data = (left + here + right) / 3
    np.testing.assert_allclose(after.t2m.values, data, rtol=1e-6)
    assert after.t2m.encoding["chunks"] == (48, 40, 48)
    assert after.t2m.dtype == np.dtype("f4")
    xr.testing.assert_identical(before.coords.to_dataset().load(), after.coords.to_dataset().load())


def test_the_error_is_as_it_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raising = FUNCTION.replace(
        "    for axis",
        "    if block.shape[2] == 50 and block.shape[1] == 35:\n        block.reshape(7, 7)\n    for axis",
    )
    Path("smoothing.py").write_text(raising)
    assert execute(RUN) == 1
    said = capsys.readouterr().err
    assert "operation.rechunk.apply: smoothing:over_neighbours raised ValueError: cannot reshape array" in said
    assert re.search(r"chunk \(\d, 1, \d\) of t2m, time \d+:\d+, latitude 40:73, longitude \d+:\d+", said)
    assert re.search(r"smoothing.py, line 8, in over_neighbours", said)


def test_the_python_of_the_page_is_the_same_job(folder: Path) -> None:
    found: dict[str, object] = {}
    exec(PYTHON, found)
    job, wanted = found["job"], load_job("smooth-weather.yaml")
    assert job.spec.operation == wanted.spec.operation  # type: ignore[attr-defined]
