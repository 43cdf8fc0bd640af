"""The bench of whole jobs."""

from tests.jobs.benches import bench

__all__ = ["bench"]
