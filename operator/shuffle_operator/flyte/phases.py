"""What a job's status means to Flyte. Every phase is listed; a test holds the list to the API's.

Flyte runs a task again after RETRYABLE_FAILED, within the task's own `retries`, and never after FAILED; which of the
two a failed job is, its reason says (client/reasons.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit.extend.backend.base_connector import Resource

from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.client.reasons import RETRYABLE
from shuffle_operator.flyte.values import outputs_of

PHASES: dict[str, int] = {
    "Pending": TaskExecution.INITIALIZING,
    "Suspended": TaskExecution.WAITING_FOR_RESOURCES,
    "Planning": TaskExecution.RUNNING,
    "Transferring": TaskExecution.RUNNING,
    "Writing": TaskExecution.RUNNING,
    "Committing": TaskExecution.RUNNING,
    "Complete": TaskExecution.SUCCEEDED,
    "Failed": TaskExecution.FAILED,
}
"""Of a phase that this version does not know, all that is sure is that the job is not finished: RUNNING."""


def phase_of(job: SubmittedJob) -> int:
    if not (job.body.get("status") or {}).get("phase"):
        return int(TaskExecution.QUEUED)  # no operator has seen it yet
    if job.failed and job.reason in RETRYABLE:
        return int(TaskExecution.RETRYABLE_FAILED)
    return int(PHASES.get(job.phase, TaskExecution.RUNNING))


def resource_of(job: SubmittedJob, links: Sequence[TaskLog] = ()) -> Resource:
    """What Flyte shows of a job."""
    return Resource(
        phase=phase_of(job),
        message=job.message,
        log_links=list(links),
        outputs=outputs_of(str(job.output["path"])) if job.complete else None,
        custom_info=_info(job),
    )


def gone(namespace: str, name: str) -> Resource:
    """What Flyte shows where the job is not there any more: someone has deleted it, and means it."""
    message = (
        f"ShuffleJob {namespace}/{name} was deleted before its end was seen; run the task again if that was not meant"
    )
    return Resource(phase=TaskExecution.ABORTED, message=message)


def _info(job: SubmittedJob) -> dict[str, Any]:
    """For Flyte's console: counters only."""
    status = job.body.get("status") or {}
    shown = (
        "phase",
        "progress",
        "duration",
        "barrier",
        "workers",
        "rows",
        "bytes",
        "partitions",
        "output",
        "lastFailure",
    )
    return {
        "job": f"{job.namespace}/{job.name}",
        **{name: status[name] for name in shown if name in status},
    }
