"""Whole jobs on arrays use the bench of those on tables, with its checks of what is left behind."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.jobs.benches import bench

__all__ = ["bench"]


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
