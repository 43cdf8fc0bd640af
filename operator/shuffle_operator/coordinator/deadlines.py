"""What happens because time has passed: workers that are silent are lost, and a job that is late fails."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import StopWorker
from shuffle_operator.coordinator.failing import fail
from shuffle_operator.coordinator.losses import Blame, Cause
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.workers import lose, replace, replace_absent


def enforce(state: JobState, now: float) -> None:
    """Changes who is there, and fails the job."""
    _silent(state, now)
    _startup(state, now)
    _active(state, now)


def _silent(state: JobState, now: float) -> None:
    settings = state.settings
    for live in list(state.members.values()):
        if live.worker not in state.members:
            continue  # lost with another one of its pod
        if now - live.seen > settings.silence:
            replace(state, live, now, f"it was not heard of for {now - live.seen:.0f} s")
        elif live.surplus and now - live.surplus_since > settings.drain:
            why = "it has not handed over what it had in time"
            lose(state, state.live_in_pod_of(live.worker), now, Blame(live.worker, why), counted=False)
            state.actions.append(StopWorker(live.worker, now=True))
    absent = {state.pod_of(worker).start: worker for worker in state.recovery.absent(now - settings.absent)}
    for worker in absent.values():
        replace_absent(state, worker, now)


def _startup(state: JobState, now: float) -> None:
    limit = state.settings.startup_deadline
    if state.members or state.alone_since is None or now - state.alone_since <= limit:
        return
    why = f"no worker has started within startupDeadlineSeconds, {limit:.0f} s"
    if state.waiting_reason:
        why += f": {state.waiting_reason}"
    fail(state, Cause("StartupDeadlineExceeded", why), now)


def _active(state: JobState, now: float) -> None:
    limit = state.settings.active_deadline
    if limit is not None and state.started_at is not None and now - state.started_at > limit:
        why = f"the job took longer than its activeDeadlineSeconds, {limit:.0f} s"
        fail(state, Cause("DeadlineExceeded", why), now)
