"""How far earlier coordinators of the job had come, and why a job is less far than it was.

A job's counters outlive its coordinators: they are in the resource's status, and a new one begins with them
(`events.Restored`). What it can know by itself (rows, groups) it learns from the workers and the output (`rebuild.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Earlier:
    """The counters of the coordinators before this one."""

    failures: int = 0
    disruptions: int = 0
    lost: int = 0
    replaced: int = 0
    """`failures`, `disruptions`, `lost`, `replaced`: numbers of workers so far."""
    bytes_read: int = 0
    bytes_sent: int = 0
    bytes_spilled: int = 0
    progress: float = 0.0
    """Percent."""
    workers: int = 0
    """Workers that are still there."""


LEAST = 0.5
"""Percent by which a job must fall back before its message says so."""


@dataclass(slots=True)
class Setback:
    """A job that is less far than it was, and why."""

    best: float = 0.0
    """The percent that the job had reached before it fell back."""
    why: str = ""
    """Why it fell back; "" where it did not, or has made up for it."""
    cause: str = ""
    """The last event that may make it fall back."""
    _last: float = 0.0

    def restore(self, progress: float, cause: str) -> None:
        self.best = self._last = progress
        self.cause = cause

    def follow(self, progress: float) -> None:
        """How far it is now."""
        if progress < self._last - LEAST:
            self.best = max(self.best, self._last)
            self.why = self.cause or "work that was done had to be done again"
        if progress >= self.best:
            self.best, self.why = progress, ""
        self._last = progress

    @property
    def sentence(self) -> str:
        """'; it was at 63 % before ...', for as long as it is below that."""
        return f"; it was at {self.best:.0f} % before {self.why}" if self.why else ""
