"""How a job that fails ends: nobody writes any more, what was written is removed, and only then the job is reported as
failed.

One worker removes the output, on a lease like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.settings import Settings


@dataclass(slots=True)
class Rollback:
    """A job that fails: its output is being removed."""

    cause: Cause
    """Why the job fails, once and for all: what follows from it does not replace it."""
    since: float
    """When it began."""
    tries: int = 0
    """How often removing the output was tried."""
    failure: str = ""
    """How the last try failed."""
    removed: bool = False
    """The output is gone."""

    def failed(self, message: str) -> None:
        """A worker could not remove the output."""
        self.tries += 1
        self.failure = message

    def impatient(self, now: float, settings: Settings) -> bool:
        """Whether workers have had the time to let go of their leases."""
        return now - self.since > settings.stop_grace

    def given_up(self, now: float, settings: Settings) -> bool:
        return now - self.since > settings.abort_deadline or self.tries >= settings.lease_attempts

    def left_behind(self, path: str) -> Cause:
        """The cause, and a note that something is left."""
        why = f": {self.failure}" if self.failure else ""
        message = f"{self.cause.message} (partial output could not be removed from {path}{why})"
        return replace(self.cause, message=message, refusal=False)
