"""The history of a job: everything that its page and its report show, as one record of figures and texts.

The live page, the report and `GET /api/jobs/{uid}` show the same `JobHistory`; as JSON it is what `msgspec.json.encode`
makes of it. Its size does not grow with the length of the job, the number of splits or that of files: each list says
what bounds it. With 500 workers it is below 640 KiB; `updates.py` sends it in pieces.

Units: moments are seconds since the job began, durations seconds, sizes bytes, shares 0 to 1 where not said otherwise.
What is not known is -1 (numbers), "" (texts) or null. Texts come from data as they are (paths, columns, keys,
messages): whoever shows them escapes them. Nothing of storage options or variables is in it, and addresses come
without what a URL may hide.
"""

from __future__ import annotations

from msgspec import Struct

from shuffle_operator.history.figures import (
    LossHistory,
    Marks,
    RowsAndBytes,
    Skew,
    SlowLease,
    Timeline,
    TransferMatrix,
    WorkerState,
)
from shuffle_protocol.messages import Figures, Phase

FORMAT = 1
"""Raised with every change that a page of an earlier version would misread. New fields are no such change."""


class JobFacts(Struct, frozen=True):
    """Which job it is."""

    name: str
    uid: str
    namespace: str
    """"" for a job on one machine."""
    operation: str
    """Of the resource: repartition, sort, join ..."""
    inputs: list[str]
    """Paths, at most `BIGGEST` of them; without what a URL may hide."""
    output: str
    method: str
    """How shards travel: PeerToPeer, ObjectStore; "" before there is a plan."""
    workers: int
    """That the job wants."""
    memory: int
    """Of each worker."""
    version: str
    """Of the program that recorded this."""
    started: float
    """When the job began: seconds since 1970 (UTC)."""


class PhaseSpan(Struct, frozen=True):
    """A phase that the job was in. Going back, after a loss, makes a new one; at most `MARKS`."""

    phase: Phase
    start: float
    end: float | None
    """null: it still is."""


class JobProgress(Struct, frozen=True):
    """How far the job is."""

    phase: Phase
    percent: float
    """Of the whole job."""
    message: str
    """The sentence of the status."""
    seconds: float
    """That the job has taken so far, or took."""
    over: bool
    """Nothing will change any more."""
    reason: str
    """Why it failed, one word; "" where it did not."""
    cause: str
    """Why it failed, for people."""
    left: float | None
    left_low: float | None
    left_high: float | None
    """`left`, `left_low`, `left_high`: seconds that are left, and between what they are likely to be; null while there
    is nothing to judge by, and when the job is over."""
    splits: int
    splits_done: int
    groups: int
    groups_written: int
    partitions: int
    """`splits` ... `partitions`: numbers; 0 before there is a plan."""
    workers_ready: int
    phases: list[PhaseSpan]


class Evidence(Struct, frozen=True):
    """A figure that a verdict is derived from."""

    label: str
    """What it is, for people."""
    value: float
    unit: str
    """seconds, bytes, share, times, workers, bytes/s"""


class Verdict(Struct, frozen=True):
    """What bounds the job, and what would change it."""

    bound_by: str
    """nothing (too early or too short to say, or nothing stands out), reading, computing, sending, receivers, disk,
    writing, skew, workers, store, losses"""
    sentence: str
    yaml: str
    """The line of the job file that would change it, such as `  workers: {memory: 8Gi}`; "" where none would."""
    why: str
    """What that line does, one sentence; "" where there is none."""
    evidence: list[Evidence]
    """The figures that the sentence follows from, the one that decides first."""


class PlanStep(Struct, frozen=True):
    """A step of the plan, the last one first; what it is fed by in `inputs`."""

    step: str
    what: str
    why: list[str]
    estimated: Figures
    actual: Figures
    """As far as the job is; -1 where nothing is known."""
    inputs: list[PlanStep]


class OutputSummary(Struct, frozen=True):
    """What is there in the end."""

    path: str
    manifest: str
    """Its address; "" before the commit."""
    files: int
    rows: int
    bytes: int
    left_behind: bool
    """The job failed, and what it had written could not be removed."""


class JobHistory(Struct, frozen=True):
    """The whole document."""

    format: int
    partial: str
    """Why something is missing, for people: an operator that took the job over knows nothing of the time before. "":
    nothing is."""
    recorded: float
    """When this was made: seconds since 1970 (UTC)."""
    job: JobFacts
    verdict: Verdict
    progress: JobProgress
    plan: PlanStep | None
    """null before there is one."""
    notes: list[str]
    """What the plan says to people beside its tree."""
    timeline: Timeline
    marks: Marks
    rows: RowsAndBytes
    skew: Skew
    workers: list[WorkerState]
    """One for each slot, in order; at most `LANES`."""
    slowest: list[SlowLease]
    """At most `BIGGEST`, the slowest first."""
    matrix: TransferMatrix
    losses: LossHistory
    output: OutputSummary
    refused: int = 0
    repeated: int = 0
    corrupt: int = 0
    """`refused`, `repeated`, `corrupt`: frames."""


class JobLine(Struct, frozen=True):
    """A job in the list of jobs."""

    name: str
    uid: str
    namespace: str
    phase: Phase
    percent: float
    message: str
    seconds: float
    started: float
    """Seconds since 1970 (UTC)."""
    workers: int
    rows_read: int
    bytes_written: int
    over: bool


class JobList(Struct, frozen=True):
    """The jobs that there are, the newest first."""

    jobs: list[JobLine]
    """At most 500."""
    left_out: int
