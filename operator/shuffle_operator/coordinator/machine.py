"""The coordinator of one job as a state machine: events come in with the time, replies and actions come out.

    Pending -> Planning -> Transferring -> Writing -> Committing -> Complete
       |          |             |             |            |
       +----------+-------------+-------------+------------+--> (aborting) -> Failed

No sockets, no clock, no threads: the server, a launcher and the simulation drive it. Every event may come twice; what
was counted is not counted again. A terminal phase is final.

States and transitions are drawn in docs/coordinator.md, and a test holds the drawing to `TRANSITIONS`.
"""

from __future__ import annotations

from shuffle_operator.coordinator import workers
from shuffle_operator.coordinator.actions import Action
from shuffle_operator.coordinator.advancing import advance
from shuffle_operator.coordinator.deadlines import enforce
from shuffle_operator.coordinator.events import (
    Cancelled,
    Configured,
    Event,
    HeldUp,
    Resized,
    Restored,
    Started,
    Tick,
    WaitingReason,
    WorkerGone,
    WorkerMissed,
)
from shuffle_operator.coordinator.failing import fail
from shuffle_operator.coordinator.grants import grant
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.migration import give_back_unstarted
from shuffle_operator.coordinator.observer import Happening, Observer, Unobserved
from shuffle_operator.coordinator.orders import answer, unknown
from shuffle_operator.coordinator.registration import heartbeat, join, refusal
from shuffle_operator.coordinator.reports import follow, note, reporter
from shuffle_operator.coordinator.resizing import resize
from shuffle_operator.coordinator.results import count
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.takeover import restored
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Orders, Phase, Register, Registered, Sync


class Coordinator:
    """The coordinator of one job. It keeps the job's slots filled with workers until the job is over."""

    def __init__(
        self, job: Job, settings: Settings | None = None, generation: int = 0, observer: Observer | None = None
    ) -> None:
        self.state = JobState(job, settings or Settings(), generation)
        """To be read by everybody, and changed by handlers alone."""
        self.observer: Observer = observer or Unobserved()

    def register(self, message: Register, now: float) -> tuple[Registered, list[Action]]:
        """A worker wants to take part."""
        state = self.state
        refused = refusal(state, message)
        if refused:
            return Registered(accepted=False, message=refused), self._actions()
        self.observer.before(state, message, now)
        join(state, message, now)
        advance(state, now)
        reply = Registered(accepted=True, job=state.job, heartbeat=heartbeat(state))
        return reply, self._observed(message, now)

    def sync(self, message: Sync, now: float) -> tuple[Orders, list[Action]]:
        """A worker reports."""
        self.observer.before(self.state, message, now)
        orders = self._report(message, now)
        return orders, self._observed(message, now)

    def _report(self, message: Sync, now: float) -> Orders:
        state = self.state
        live = reporter(state, message)
        if live is None:
            return unknown(state, message)
        note(state, live, message, now)
        stuck = state.stragglers.stuck(live, state.settings, now)
        if stuck and not state.over:
            workers.replace(state, live, now, stuck, fault=True)
            return unknown(state, message)
        acknowledged = count(state, live, message, now)
        advance(state, now, live.worker)
        if reporter(state, message) is None:  # dismissed just now: it must get no more work
            return unknown(state, message)
        if live.leaving:
            give_back_unstarted(state, live, message)
        grant(state, live, message, now)
        return answer(state, live, message, acknowledged, now)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Something else happened. Nothing but other limits means anything to a job that is over."""
        self.observer.before(self.state, event, now)
        if isinstance(event, Configured) or not self.state.over:
            self._take(event, now)
        return self._observed(event, now)

    def _take(self, event: Event, now: float) -> None:
        state = self.state
        match event:
            case Restored():
                restored(state, event, now)
            case Started():
                workers.started(state, event, now)
            case HeldUp():
                workers.held_up(state, event, now)
            case WorkerMissed():
                workers.missed(state, event)
            case WaitingReason():
                state.waiting_reason = event.why
            case Configured():
                state.settings = event.settings
            case _:
                self._advance_by(event, now)

    def _advance_by(self, event: WorkerGone | Tick | Cancelled | Resized, now: float) -> None:
        """Those after which the job may go on."""
        state = self.state
        match event:
            case WorkerGone():
                workers.gone(state, event, now)
            case Cancelled():
                if state.phase is not Phase.COMMITTING:
                    fail(state, Cause(event.reason, event.message, refusal=event.refusal), now)
            case Resized():
                resize(state, event.workers, now)
            case Tick():
                enforce(state, now)
                follow(state, now)
        advance(state, now)

    def _observed(self, cause: Happening, now: float) -> list[Action]:
        actions = self._actions()
        self.observer.after(self.state, cause, actions, now)
        return actions

    def _actions(self) -> list[Action]:
        actions, self.state.actions = self.state.actions, []
        return actions
