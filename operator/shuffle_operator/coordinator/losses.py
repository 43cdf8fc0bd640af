"""When the losses of workers are enough to fail a job: its own failures, disruptions, and getting nowhere.

Evictions, preemptions and drains are no fault of the job and count apart, under a limit that only a hopeless cluster
reaches. But a worker that is killed over and over before anything gets done (by the system, because it has too little
memory, say) looks like a disruption each time: so losses with nothing done in between have a limit too.
"""

from __future__ import annotations

from dataclasses import dataclass

from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.units import counted


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a job failed: a stable reason, a sentence, and whether it was refused before anything was moved."""

    reason: str
    message: str
    worker: int = -1
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a worker, or all of a pod, was lost."""

    worker: int
    """The one that it is about; of a pod the first, where it is about none of them."""
    why: str
    fault: bool = False
    crashed: bool = False
    """`fault`, `crashed`: see `WorkerGone`."""


@dataclass(slots=True)
class Losses:
    """How many workers were lost, and how."""

    failures: int = 0
    """Workers that failed by themselves."""
    disruptions: int = 0
    """Workers that were taken away."""
    idle: int = 0
    """Losses since a lease was last finished."""

    def progress(self) -> None:
        """A lease was finished."""
        self.idle = 0

    def count(self, worker: int, why: str, fault: bool, workers: int, settings: Settings) -> Cause | None:
        """Count one more. Returns why the job fails, if that is enough."""
        self.idle += 1
        if fault:
            self.failures += 1
            if self.failures > settings.backoff_limit:
                limit = settings.backoff_limit
                message = f"{counted(self.failures, 'worker')} failed (backoffLimit {limit}); the last one: {why}"
                return Cause("BackoffLimitExceeded", message, worker)
            return None
        self.disruptions += 1
        if self.disruptions > settings.disruption_limit:
            limit = settings.disruption_limit
            message = f"{self.disruptions} workers were lost (disruptionLimit {limit}); the last one: {why}"
            return Cause("DisruptionLimitExceeded", message, worker)
        if self.idle > settings.backoff_limit + 2 * workers:
            message = f"{self.idle} workers were lost with nothing done in between; the last one: {why}"
            return Cause("BackoffLimitExceeded", message, worker)
        return None
