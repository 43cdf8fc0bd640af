"""What the tests of runs with a page start from."""

from __future__ import annotations

from tests.jobs.benches import bench

__all__ = ["bench"]
