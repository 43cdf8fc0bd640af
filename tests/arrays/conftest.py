"""Whole jobs on arrays use the bench of those on tables, with its checks of what is left behind."""

from tests.jobs.conftest import bench

__all__ = ["bench"]
