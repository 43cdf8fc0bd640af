"""What the tests of whole jobs start from: a bench, and data for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.jobs import data
from tests.jobs.benches import bench

__all__ = ["bench"]


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files of events, together about 17 MiB in memory: several splits."""
    folder = tmp_path_factory.mktemp("jobs") / "events"
    data.write_events(folder, files=6, rows=10_000)
    return folder


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files of wide rows: many splits, little work."""
    folder = tmp_path_factory.mktemp("jobs") / "wide"
    data.write_wide(folder)
    return folder
