"""Makes the data of examples/rechunk.yaml: hourly temperatures of the whole earth as a Zarr group that xarray opens.

    pip install 'shuffle-operator[zarr]'
    python examples/demo/make_weather.py demo/weather.zarr

Seeded, so that every machine makes the same: a day in each chunk, every 2.5 degrees, 30 days, about 11 MB. One day is
in memory at a time.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr

SEED = 20_260_101
HOURS = 24
LATITUDES = np.linspace(90, -90, 73)
LONGITUDES = np.arange(0, 360, 2.5)


def day(number: int) -> npt.NDArray[np.float32]:
    """The temperatures of a day, in kelvin: hours, latitudes, longitudes."""
    random = np.random.default_rng([SEED, number])
    hours = np.arange(HOURS)[:, None, None]
    sun = np.cos(np.deg2rad(LATITUDES))[None, :, None]
    local = np.cos(np.deg2rad(15 * hours + LONGITUDES[None, None, :] - 210))
    weather = random.normal(0, 2, (1, len(LATITUDES), len(LONGITUDES)))
    return np.round(250 + 50 * sun + 6 * sun * local + weather, 1).astype(np.float32)


def make(folder: Path, days: int) -> None:
    group = zarr.open_group(folder, mode="w-", attributes={"title": "Made up hourly temperatures"})
    axes = {"time": np.arange(days * HOURS), "latitude": LATITUDES, "longitude": LONGITUDES}
    about = {
        "time": {"units": "hours since 2026-01-01", "calendar": "standard"},
        "latitude": {"units": "degrees_north"},
        "longitude": {"units": "degrees_east"},
    }
    for name, values in axes.items():
        group.create_array(name, data=values, dimension_names=[name], attributes=about[name])
    places = (len(LATITUDES), len(LONGITUDES))
    t2m = group.create_array(
        "t2m",
        shape=(days * HOURS, *places),
        chunks=(HOURS, *places),
        dtype="f4",
        dimension_names=list(axes),
        attributes={"units": "K", "long_name": "temperature two metres above the ground"},
    )
    for number in range(days):
        t2m[number * HOURS : (number + 1) * HOURS] = day(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata is not in the specification of format 3
        zarr.consolidate_metadata(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make hourly temperatures as a Zarr group.")
    parser.add_argument("--days", type=int, default=30, help="default 30, some 0.4 MB each")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.folder.exists():
        sys.stderr.write(f"{options.folder} is there already; remove it to have it made again\n")
        return 0
    make(options.folder, options.days)
    size = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file())
    sys.stderr.write(f"Made {options.days} days of temperatures, {size / 1e6:,.0f} MB: {options.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
