"""A job as the cluster has it, read leniently: it may have been written by another version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.status import Status


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job as the API server has it."""

    body: dict[str, Any]
    """The resource as the API server gave it."""

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        return str(self.body["metadata"].get("uid", ""))

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.body["metadata"].get("annotations") or {})

    @property
    def status(self) -> Status:
        return Status.model_validate(self.body.get("status") or {}, by_alias=True)

    @property
    def phase(self) -> str:
        """Pending where no operator has seen it yet."""
        return str((self.body.get("status") or {}).get("phase") or "Pending")

    @property
    def message(self) -> str:
        return str((self.body.get("status") or {}).get("message") or "Pending: no operator has taken it up yet")

    @property
    def complete(self) -> bool:
        return self.phase == "Complete"

    @property
    def failed(self) -> bool:
        return self.phase == "Failed"

    @property
    def finished(self) -> bool:
        """Complete or failed; neither changes any more."""
        return self.complete or self.failed

    @property
    def reason(self) -> str:
        """Why it finished as it did; "" before."""
        conditions = (self.body.get("status") or {}).get("conditions") or []
        return next((str(c.get("reason", "")) for c in conditions if c.get("type") == "Finished" and self.finished), "")

    @property
    def output(self) -> dict[str, Any]:
        """Where it writes, and what is there by now: `status.output`, or `spec.output` before there is one."""
        found: dict[str, Any] = (self.body.get("status") or {}).get("output") or self.body["spec"]["output"]
        return found

    def job(self) -> ShuffleJob:
        """What was asked for, checked. Raises InvalidJob."""
        from shuffle_operator.api.validation import check_job

        return check_job(self.body)


class JobFailed(Exception):
    """`wait` was asked to raise, and the job failed."""

    def __init__(self, job: SubmittedJob) -> None:
        super().__init__(f"{job.namespace}/{job.name}: {job.message}")
        self.job = job
