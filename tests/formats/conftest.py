"""The bench of whole jobs, for the few here that run worker processes."""

from tests.jobs.benches import bench

__all__ = ["bench"]
