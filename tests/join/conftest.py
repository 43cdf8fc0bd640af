"""The bench of whole jobs."""

from tests.jobs.conftest import bench

__all__ = ["bench"]
