"""From what the machine knows to the status that people read. Pure: the same facts give the same status.

The status is bounded: counters, five conditions, one failure. `lastTransitionTime` moves only when a condition's status
flips. `patch_of` says what must be written to get from one status to the next; nothing, most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from shuffle_operator.api.status import MAX_PLAN
from shuffle_operator.coordinator.earlier import Earlier
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.handlers.policies import time_of
from shuffle_operator.launchers.pod_state import Ended
from shuffle_protocol.messages import Phase, PlanNode

Object = dict[str, Any]

LONGEST_MESSAGE = 4096
LONGEST_CAUSE = 1024

KNOWN_LATER = ("rows", "partitions", "barrier", "plan", "method")
"""Parts of a status that a coordinator knows once it has a plan."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    complete: bool
    reason: str
    """One of `api.status.REASONS`."""
    message: str


@dataclass(frozen=True, slots=True)
class Loss:
    """The latest worker that was lost, and when."""

    worker: int
    pod: str
    end: Ended
    at: datetime


def running(
    state: JobState,
    now: float,
    wall: datetime,
    before: Object,
    loss: Loss | None,
    waiting_reason: str,
    *,
    begun: bool = True,
) -> Object:
    """The status of a job that runs or has just ended. now: of the machine's clock; wall: the same moment. begun: there
    has been a pod of it."""
    told = snapshot(state, now)
    message = told.message
    if waiting_reason and told.workers_ready < told.workers_desired and state.cause is None and not state.over:
        message = f"{message}: {waiting_reason}"
    phase = str(told.phase)
    if state.phase is Phase.FAILED:
        phase = str(before.get("phase") or Phase.PENDING)  # Failed is said when the workers are gone: `ended`
    if state.cause is not None:
        message = f"Stopping: {told.reason}: {told.cause}"
    status: Object = {
        "phase": phase,
        "message": message[:LONGEST_MESSAGE],
        "startTime": before.get("startTime") or (stamp(wall) if begun else None),
        "method": told.method or None,
        "plan": _plan(told.tree),
        "progress": int(told.progress),
        "epoch": told.epoch,
        "failures": told.failures,
        "disruptions": told.disruptions,
        "barrier": {
            "splits": told.splits,
            "splitsDone": told.splits_done,
            "reached": _stamp_at(state.barrier_at, now, wall, (before.get("barrier") or {}).get("reached")),
            "epoch": told.epoch,
        },
        "workers": {
            "desired": told.workers_desired,
            "ready": told.workers_ready,
            "lost": told.workers_lost,
            "replaced": told.workers_replaced,
        },
        "rows": {"read": told.rows_read, "received": told.rows_received, "written": told.rows_written},
        "bytes": {
            "read": told.bytes_read,
            "sent": told.bytes_sent,
            "spilled": told.bytes_spilled,
            "written": told.bytes_written,
        },
        "partitions": {
            "total": told.partitions,
            "written": told.partitions_written,
            "largestBytes": told.largest,
            "medianBytes": told.median,
        },
        "lastFailure": _last_failure(state, loss, wall, before.get("lastFailure")),
    }
    status |= {key: before[key] for key in ("specDigest", "acceptedSpec") if key in before}
    if state.ledger is None:  # what an earlier coordinator knew holds until this one knows better
        status |= {key: before[key] for key in KNOWN_LATER if key in before}
        status["bytes"]["written"] = (before.get("bytes") or {}).get("written", 0)
    if state.phase is Phase.COMPLETE:
        status["output"] = {"path": told.output, "files": told.files, "manifest": told.manifest.rsplit("/", 1)[-1]}
    return _pruned(status)


def earlier(status: Object, workers: int) -> Earlier:
    """What a status says of the coordinators so far. workers: that are still there."""
    counted, sizes = status.get("workers") or {}, status.get("bytes") or {}
    return Earlier(
        failures=int(status.get("failures") or 0),
        disruptions=int(status.get("disruptions") or 0),
        lost=int(counted.get("lost") or 0),
        replaced=int(counted.get("replaced") or 0),
        bytes_read=int(sizes.get("read") or 0),
        bytes_sent=int(sizes.get("sent") or 0),
        bytes_spilled=int(sizes.get("spilled") or 0),
        progress=float(status.get("progress") or 0),
        workers=workers,
    )


def ended(status: Object, outcome: Outcome, wall: datetime, *, leaves: bool = False) -> Object:
    """The status of a job that is over, made from its last. leaves: something of it is still to be removed."""
    phase = "Complete" if outcome.complete else "Failed"
    result = {**status, "phase": phase, "completionTime": stamp(wall)}
    if "workers" in status:
        result["workers"] = {**status["workers"], "ready": 0}
    if leaves:
        result["cleaningUp"] = True
    result["message"] = (outcome.message if outcome.complete else f"{outcome.reason}: {outcome.message}")[
        :LONGEST_MESSAGE
    ]
    if outcome.complete:
        result["progress"] = 100
    started = time_of(status.get("startTime"))
    if started is not None:
        result["duration"] = readable_duration((wall - started).total_seconds())
    return result


def with_conditions(
    status: Object, job: Object, outcome: Outcome | None, wall: datetime, *, suspended: bool = False
) -> Object:
    """The status with its conditions, and the generation of the spec that it is about."""
    generation = int(job["metadata"].get("generation") or 0)
    before = {c["type"]: c for c in (job.get("status") or {}).get("conditions") or [] if "type" in c}
    phase = str(status.get("phase") or "Pending")

    def one(kind: str, holds: bool, reason: str, message: str = "") -> Object:
        state = "True" if holds else "False"
        old = before.get(kind)
        since = old.get("lastTransitionTime") if old is not None and old.get("status") == state else None
        made: Object = {
            "type": kind,
            "status": state,
            "reason": reason or "Unknown",
            "lastTransitionTime": since or stamp(wall),
            "observedGeneration": generation,
        }
        return made | ({"message": message[:LONGEST_MESSAGE]} if message else {})

    conditions: list[Object] = []
    if outcome is not None:
        kind = "Complete" if outcome.complete else "Failed"
        conditions.append(one(kind, True, outcome.reason, outcome.message))
        conditions.append(one("Finished", True, outcome.reason, outcome.message))
        conditions.append(one("Progressing", False, outcome.reason))
    else:
        conditions.append(one("Finished", False, phase))
        conditions.append(one("Progressing", not suspended, phase))
    conditions.append(one("Suspended", suspended, "JobSuspended" if suspended else "NotSuspended"))
    return {**status, "observedGeneration": generation, "conditions": sorted(conditions, key=lambda c: str(c["type"]))}


def patch_of(old: Object, new: Object) -> Object:
    """A merge patch that makes `new` of `old`; empty where they say the same."""
    patch: Object = {}
    for key in {*old, *new}:
        if key not in new:
            patch[key] = None
        elif key not in old:
            patch[key] = new[key]
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            inner = patch_of(old[key], new[key])
            if inner:
                patch[key] = inner
        elif old[key] != new[key]:
            patch[key] = new[key]
    return patch


def is_urgent(old: Object, patch: Object) -> bool:
    """Whether people or other controllers wait for what it says: it is written at once."""
    return not old or "phase" in patch or "conditions" in patch or "lastFailure" in patch


def stamp(moment: datetime) -> str:
    """As Kubernetes writes times: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def readable_duration(seconds: float) -> str:
    """42s, 3m12s, 2h05m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _stamp_at(at: float | None, now: float, wall: datetime, before: object) -> object:
    """A moment of the machine's clock as a time; once written it stays."""
    if at is None:
        return None
    if before:
        return before
    return stamp(datetime.fromtimestamp(wall.timestamp() - (now - at), UTC))


def _last_failure(state: JobState, loss: Loss | None, wall: datetime, before: Object | None) -> Object | None:
    """Of a pod where one ended, of a lease where one failed; the latest of both by what the machine says."""
    cause = state.last_failure
    if cause is None:
        return before
    failure: Object
    if loss is not None and cause.worker == loss.worker and cause.message == loss.end.why:
        failure = {"worker": loss.worker, "pod": loss.pod, "reason": loss.end.reason, "exitCode": loss.end.exit_code}
    else:
        failure = {"reason": cause.reason}
        if cause.worker >= 0:
            failure["worker"] = cause.worker
    failure["message"] = cause.message[:LONGEST_CAUSE]
    failure = {key: value for key, value in failure.items() if value is not None}
    if before is not None and {k: v for k, v in before.items() if k != "time"} == failure:
        return before
    at = loss.at if "pod" in failure and loss is not None else wall
    return {"time": stamp(at), **failure}


def _plan(tree: PlanNode | None) -> str | None:
    text = msgspec.json.encode(tree).decode() if tree is not None else ""
    return text if 0 < len(text) <= MAX_PLAN else None


def _pruned(value: Object) -> Object:
    """The mapping without unknown values."""
    return {k: _pruned(v) if isinstance(v, dict) else v for k, v in value.items() if v is not None}
