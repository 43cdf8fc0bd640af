"""What happens to a job, beside the messages of its workers (`Register`, `Sync`): a record each. `machine.py` takes
them."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.coordinator.earlier import Earlier
from shuffle_operator.coordinator.settings import Settings


@dataclass(frozen=True, slots=True)
class Restored:
    """This coordinator follows others: what they had counted. To come first, and once."""

    earlier: Earlier = field(default_factory=Earlier)
    survivors: bool = False
    """Workers may be there that hold work: wait for their reports before anything is planned."""


@dataclass(frozen=True, slots=True)
class Started:
    """The job was accepted: ask for workers."""

    ago: float | None = None
    """Seconds since the job began under an earlier coordinator; None: it begins now."""


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A launcher saw a process end, or a pod with the processes of several workers: all of them are gone."""

    worker: int
    """Whose process it was; of a pod: the one that made it end, if it was one of them."""
    incarnation: str | None
    """Of the process or the pod, where the launcher knows it; None: of what is in the slot."""
    why: str
    fault: bool
    """It failed by itself (an exit code, a crash), nobody took it away."""
    crashed: bool = False
    """See `crashes.py`."""


@dataclass(frozen=True, slots=True)
class WorkerMissed:
    """A worker, with those of its pod, went while no coordinator was there to see it; others are being started in their
    place."""

    worker: int
    why: str
    fault: bool


@dataclass(frozen=True, slots=True)
class HeldUp:
    """No worker can be started, for a reason that is not the job's fault, such as waiting for its turn: its time to
    start has not begun."""


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """What keeps workers from starting, in a launcher's words; "" where nothing is known."""

    why: str


@dataclass(frozen=True, slots=True)
class Tick:
    """About a second has passed."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stop the job and remove what it wrote. Too late while it commits: a moment later it is complete."""

    reason: str
    message: str
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class Resized:
    """Another number of workers from now on. Those that are too many hand over what they own and leave, which is no
    failure."""

    workers: int


@dataclass(frozen=True, slots=True)
class Configured:
    """Other limits from now on."""

    settings: Settings


Event = (
    Restored | Started | WorkerGone | WorkerMissed | HeldUp | WaitingReason | Tick | Cancelled | Resized | Configured
)
