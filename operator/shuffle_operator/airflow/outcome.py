"""What became of a job, as a small mapping that travels from the triggerer to the task."""

from __future__ import annotations

from typing import Any

from shuffle_operator.client.job import SubmittedJob

COMPLETE, FAILED, GONE, UNREACHABLE = "complete", "failed", "gone", "unreachable"
"""Values of `kind`: the job's two ends, a job that somebody deleted, and an API server that did not answer."""


def outcome_of(job: SubmittedJob) -> dict[str, Any]:
    """Of a finished job: `result` is what the task returns, `reason` and `message` say why one failed."""
    status = job.body.get("status") or {}
    result = {
        "job": f"{job.namespace}/{job.name}",
        "output": str(job.output["path"]),
        "manifest": job.output.get("manifest"),
        "rows": (status.get("rows") or {}).get("written"),
    }
    kind = COMPLETE if job.complete else FAILED
    return {"kind": kind, "reason": job.reason, "message": job.message, "result": result}
