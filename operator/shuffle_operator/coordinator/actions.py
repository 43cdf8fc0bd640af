"""What the coordinator asks for. It does nothing itself: a launcher, a server or a simulation does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a process for a slot; where several workers run in a pod: a pod for this one, its first, and the others.
    `epoch` makes the name of a replacement new."""

    worker: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Make sure that a slot's process is gone; where several workers run in a pod: the pod."""

    worker: int
    now: bool
    """It is lost or in the way: do not wait for it to finish."""


@dataclass(frozen=True, slots=True)
class Wake:
    """There is news for these idle workers (None: for all): answer their held calls."""

    workers: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Note:
    """A note for people: an event in Kubernetes, a line in the terminal."""

    reason: str
    message: str
    warning: bool = False


Action = StartWorker | StopWorker | Wake | Note
