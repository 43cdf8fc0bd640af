"""`status`: how far a job is, in counters only. It never grows with workers, files or partitions.

Built by the operator in one place and written at most every few seconds. Per-worker detail is served by the operator's
HTTP API instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from shuffle_operator.api.types import StatusModel

Count = Annotated[int, Field(ge=0)]
PhaseName = Literal[
    "Pending", "Planning", "Transferring", "Writing", "Committing", "Complete", "Failed", "Suspended"
]  # fmt: skip

REASONS: dict[str, str] = {
    "Completed": "The output is complete; `_SUCCESS` is there.",
    "InvalidSpec": "The job cannot be carried out as written.",
    "InputNotFound": "No such file, folder, bucket or scheme.",
    "AccessDenied": "The store refused the credentials.",
    "StorageUnavailable": "The store did not answer, or answered with errors, until the retries were spent.",
    "OutputExists": "The output holds files and onExisting is Fail.",
    "DataError": "Input that is not what its name says, or that changed under the job.",
    "UserFunctionFailed": "A function of the user's raised.",
    "OutOfMemory": "The memory given cannot hold one unit of work.",
    "OutOfDisk": "Scratch or output has no room left.",
    "StartupDeadlineExceeded": "The workers' pods could not start in time; the message says why.",
    "DeadlineExceeded": "activeDeadlineSeconds passed.",
    "BackoffLimitExceeded": "More failures of the job's own than backoffLimit.",
    "DisruptionLimitExceeded": "More evictions, preemptions and lost nodes than disruptionLimit.",
    "Internal": "A defect of the operator; please report it.",
}
"""Every reason of a Complete or Failed condition: part of the API."""


class Barrier(StatusModel):
    """Where the job stands between reading and writing: nothing is written before every split is read."""

    splits: Count | None = Field(default=None, description="Pieces of the input.")
    splits_done: Count | None = Field(default=None, description="Pieces that were read and whose rows have arrived.")
    reached: datetime | None = Field(default=None, description="When all had arrived.")
    epoch: Count | None = Field(default=None, description="The membership for which this counts.")


class WorkerCounts(StatusModel):
    """Workers, counted; a pod with more than two processors has several."""

    desired: Count | None = Field(default=None, description="Wanted.")
    ready: Count | None = Field(default=None, description="Registered and alive.")
    lost: Count | None = Field(default=None, description="Lost since the job started.")
    replaced: Count | None = Field(default=None, description="Started in place of lost ones.")


MAX_PLAN = 16_384
"""Characters of a plan in the status; one that is longer (columns with very long names) is left out."""


class RowCounts(StatusModel):
    """Rows, counted at every step; they must agree in the end."""

    read: Count | None = Field(default=None, description="Read from the input, after the filter.")
    received: Count | None = Field(default=None, description="Taken by the workers that own them.")
    written: Count | None = Field(default=None, description="In output files.")


class ByteCounts(StatusModel):
    """Bytes."""

    read: Count | None = Field(default=None, description="Fetched from the input's store.")
    sent: Count | None = Field(default=None, description="Sent from worker to worker.")
    spilled: Count | None = Field(default=None, description="Written to scratch, because they did not fit in memory.")
    written: Count | None = Field(default=None, description="In output files.")


class PartitionCounts(StatusModel):
    """Output files; largest against median shows skew at a glance."""

    total: Count | None = Field(default=None, description="To be written.")
    written: Count | None = Field(default=None, description="Written.")
    largest_bytes: Count | None = Field(default=None, description="The largest file.")
    median_bytes: Count | None = Field(default=None, description="The file in the middle.")


class OutputSummary(StatusModel):
    """What was written."""

    path: str | None = Field(default=None, max_length=2048, description="The folder.")
    files: Count | None = Field(default=None, description="Data files in it.")
    manifest: str | None = Field(default=None, max_length=2048, description="The manifest's name in the folder.")


class LastFailure(StatusModel):
    """The root cause of the latest failure of a worker."""

    time: datetime | None = Field(default=None, description="When.")
    worker: Count | None = Field(default=None, description="The worker's index.")
    pod: str | None = Field(default=None, max_length=253, description="Its pod.")
    reason: str | None = Field(default=None, max_length=63, description="For example OOMKilled, or a reason of a job.")
    exit_code: int | None = Field(default=None, description="Its exit code.")
    message: str | None = Field(default=None, max_length=1024, description="Its last message.")


class Condition(StatusModel):
    """A Kubernetes condition."""

    type: Annotated[str, Field(max_length=316)] = Field(
        description="Progressing, Suspended, Complete, Failed or Finished (complete or failed)."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Why, in one word.")
    message: Annotated[str, Field(max_length=32_768)] = Field(default="", description="Why, in a sentence.")
    last_transition_time: datetime | None = Field(default=None, description="When the status last changed.")
    observed_generation: Count | None = Field(default=None, description="The spec's generation that it is about.")


class Status(StatusModel):
    """How far the job is. Written by the operator only."""

    phase: PhaseName | None = Field(default=None, description="Where the job stands, derived from the conditions.")
    message: str | None = Field(default=None, max_length=4096, description="The same as one sentence for people.")
    observed_generation: Count | None = Field(default=None, description="The spec's generation that this is about.")
    start_time: datetime | None = Field(default=None, description="When its first pod was there.")
    completion_time: datetime | None = Field(default=None, description="When the job was complete or had failed.")
    duration: str | None = Field(default=None, max_length=63, description="From start to completion, for people.")
    spec_digest: str | None = Field(
        default=None,
        max_length=64,
        description="The digest of the spec that the job was begun with, which holds until it is over.",
    )
    accepted_spec: str | None = Field(
        default=None,
        max_length=65_536,
        description="That spec as JSON, where it was changed since; such a change is ignored.",
    )
    cleaning_up: bool | None = Field(
        default=None, description="True: it is over, and its pods or what they needed are still being removed."
    )
    method: str | None = Field(default=None, max_length=63, description="The method that was chosen.")
    plan: str | None = Field(
        default=None,
        max_length=MAX_PLAN,
        description="The plan as JSON, in words and estimates; shuffle status NAME --plan shows it as a tree.",
    )
    progress: Annotated[int, Field(ge=0, le=100)] | None = Field(default=None, description="Percent.")
    epoch: Count | None = Field(default=None, description="Counts changes of membership.")
    failures: Count | None = Field(default=None, description="Failures that count against backoffLimit.")
    disruptions: Count | None = Field(default=None, description="Failures that count against disruptionLimit.")
    barrier: Barrier | None = Field(default=None, description="The barrier between reading and writing.")
    workers: WorkerCounts | None = Field(default=None, description="Workers, counted.")
    rows: RowCounts | None = Field(default=None, description="Rows, counted.")
    bytes: ByteCounts | None = Field(default=None, description="Bytes, counted.")
    partitions: PartitionCounts | None = Field(default=None, description="Output files, counted.")
    output: OutputSummary | None = Field(default=None, description="What was written.")
    last_failure: LastFailure | None = Field(default=None, description="The latest failure's root cause.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Progressing, Suspended, Complete, Failed, Finished.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
