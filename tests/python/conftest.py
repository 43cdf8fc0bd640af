"""A bench for jobs that are run from Python: afterwards nothing of a run may be left."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs.benches import bench

__all__ = ["bench"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two files of a few rows."""
    folder = tmp_path / "small"
    folder.mkdir()
    for at in range(2):
        rows = {"key": [1, 2, None, 1], "text": ["a", "b", "c", None], "row": list(range(4 * at, 4 * at + 4))}
        pq.write_table(pa.table(rows), folder / f"{at}.parquet")
    return folder
