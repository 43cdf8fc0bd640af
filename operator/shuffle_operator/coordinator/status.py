"""A snapshot of a job for people: counters that never grow in number, and one sentence.

The command line shows it, the HTTP API serves it, and the resource's status is made from it.
"""

from __future__ import annotations

from msgspec import Struct, field

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.remaining import seconds_left
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.jobs import Rechunk
from shuffle_protocol.messages import Phase, PlanNode
from shuffle_protocol.units import counted, duration, readable

LEAST_SECONDS = 3.0
"""Share of a job that must be done before the message says how much time is left."""


class Snapshot(Struct, frozen=True):
    """Where a job stands. Sizes are in bytes, times in seconds."""

    name: str
    uid: str
    phase: Phase
    message: str
    progress: float
    """Percent of the whole job."""
    epoch: int
    seconds: float
    splits: int
    splits_done: int
    splits_redone: int
    """Splits that were resent count, too."""
    partitions: int
    partitions_written: int
    groups: int
    groups_written: int
    workers_desired: int
    workers_ready: int
    workers_lost: int
    workers_replaced: int
    rows_read: int
    rows_received: int
    rows_written: int
    input_bytes: int
    bytes_read: int
    bytes_sent: int
    bytes_spilled: int
    bytes_written: int
    files: int
    largest: int
    median: int
    memory_peak: int
    """Of the worker that needed most."""
    cpu_seconds: float
    refused: int
    repeated: int
    corrupt: int
    failures: int
    disruptions: int
    output: str
    manifest: str
    reason: str
    cause: str
    refusal: bool
    left_behind: bool
    """The job failed, and what it had written could not be removed."""
    scratch_needed: int
    splits_resent: int = 0
    bytes_read_again: int = 0
    bytes_sent_again: int = 0
    """`bytes_read_again`, `bytes_sent_again`: because a worker was lost, or something that it had was damaged."""
    bytes_kept: int = 0
    """On scratch, of what was sent."""
    method: str = ""
    tree: PlanNode | None = None
    notes: list[str] = field(default_factory=list)
    """What the plan says to people, beside its tree."""


def snapshot(state: JobState, now: float) -> Snapshot:
    facts = state.ledger.facts if state.ledger is not None else Facts(0, 0)
    totals = facts.totals
    plan = state.summary
    live = state.members.values()
    past = state.past
    started = state.started_at if state.started_at is not None else now
    end = state.finished_at if state.finished_at is not None else now
    output = state.output
    partitions = plan.group_partitions if plan is not None else []
    written = sum(n for g, n in enumerate(partitions) if g < facts.groups and facts.written[g])
    return Snapshot(
        name=state.job.name,
        uid=state.job.uid,
        phase=state.phase,
        message=_sentence(state, now),
        progress=state.percent,
        epoch=state.epoch,
        seconds=end - started,
        splits=facts.splits,
        splits_done=facts.splits_done,
        splits_redone=totals.splits_redone,
        splits_resent=totals.splits_resent,
        partitions=plan.partitions if plan is not None else 0,
        partitions_written=written,
        groups=facts.groups,
        groups_written=facts.groups_written,
        workers_desired=state.job.workers,
        workers_ready=len(state.members),
        workers_lost=state.lost,
        workers_replaced=state.replaced,
        rows_read=totals.rows_read,
        rows_received=totals.rows_received,
        rows_written=totals.rows_written,
        input_bytes=plan.input_bytes if plan is not None else 0,
        bytes_read=state.earlier.bytes_read + totals.bytes_read,
        bytes_sent=state.earlier.bytes_sent + totals.bytes_sent,
        bytes_read_again=totals.bytes_read_again,
        bytes_sent_again=totals.bytes_sent_again,
        bytes_kept=sum(x.counters.kept for x in live),
        bytes_spilled=state.earlier.bytes_spilled + past.spilled + sum(x.spilled for x in live),
        bytes_written=totals.bytes_written,
        files=totals.files,
        largest=int(output.get("largest", totals.largest)),
        median=int(output.get("median", 0)),
        memory_peak=max([past.memory_peak, *(x.counters.memory_peak for x in live)]),
        cpu_seconds=past.cpu + sum(x.counters.cpu for x in live),
        refused=past.refused + sum(x.counters.refused for x in live),
        repeated=past.repeated + sum(x.counters.repeated for x in live),
        corrupt=past.corrupt + sum(x.counters.corrupt for x in live),
        failures=state.losses.failures,
        disruptions=state.losses.disruptions,
        output=state.job.output.path,
        manifest=str(output.get("manifest", "")),
        reason=state.cause.reason if state.cause is not None else "",
        cause=state.cause.message if state.cause is not None else "",
        refusal=state.cause.refusal if state.cause is not None else False,
        left_behind=state.left_behind,
        scratch_needed=plan.scratch_needed if plan is not None else 0,
        method=plan.method if plan is not None else "",
        tree=plan.tree if plan is not None else None,
        notes=list(plan.notes) if plan is not None else [],
    )


def _sentence(state: JobState, now: float) -> str:
    """The sentence for people: what is happening, how far it is, how long it will take; or why nothing happens."""
    if state.cause is not None:
        return f"{state.cause.reason}: {state.cause.message}"
    ready, desired = len(state.members), state.job.workers
    workers = counted(ready, "worker") if ready >= desired else f"{ready} of {desired} workers"
    if state.phase is Phase.PENDING or state.ledger is None:
        return f"{state.phase}: {workers} ready{_taken_over(state)}{_trouble(state)}"
    facts, totals = state.ledger.facts, state.ledger.facts.totals
    if state.phase is Phase.TRANSFERRING:
        plan_bytes = sum(state.summary.split_bytes) if state.summary is not None else 0
        splits = f"{facts.splits_done:,} of {counted(facts.splits, 'split')}"
        text = f"Transferring: {splits}, {readable(totals.bytes_read)} of {readable(plan_bytes)}, {workers}"
    elif state.phase is Phase.WRITING:
        groups = f"{facts.groups_written:,} of {counted(facts.groups, 'group')}"
        text = f"Writing: {groups}, {readable(totals.bytes_written)}, {workers}"
    elif state.phase is Phase.COMPLETE:
        what = "element" if isinstance(state.job.operation, Rechunk) else "row"
        rows, files = counted(totals.rows_written, what), counted(totals.files, "file")
        missing = f"; {state.no_report}" if state.no_report else ""
        return f"Complete: {rows} in {files}, {readable(totals.bytes_written)}{missing}"
    else:
        return f"{state.phase}: {workers}{_trouble(state)}"
    behind = state.setback.sentence or _read_before(state, totals.bytes_read)
    return text + _remaining(state, now) + behind + _trouble(state)


def _read_before(state: JobState, read: int) -> str:
    """Why the message shows fewer bytes than before: a coordinator begins with none, whatever the status says."""
    before = state.earlier.bytes_read
    if state.phase is not Phase.TRANSFERRING or read >= before:
        return ""
    return f"; {readable(before)} had been read before a new operator took the job over"


def _trouble(state: JobState) -> str:
    """What workers wait for: of the first of them, and how many there are."""
    troubled = [live for live in state.members.values() if live.waiting_reason]
    if not troubled:
        return ""
    who = f"worker {troubled[0].worker}" if len(troubled) == 1 else f"{len(troubled)} workers"
    return f"; {who} waiting: {troubled[0].waiting_reason}"


def _taken_over(state: JobState) -> str:
    """What a coordinator that follows others waits for, until it knows how far the job is."""
    if not state.generation or state.setback.best <= 0:
        return ""
    at = f"; a new operator took the job over at {state.percent:.0f} %"
    expected = state.earlier.workers
    if state.recovery.awaited and expected:
        return f"{at} and waits up to {state.settings.patience:.0f} s for its {expected} workers to report"
    return f"{at}, and what is written is kept"


def _remaining(state: JobState, now: float) -> str:
    """', about 4 min left', once enough is done to estimate it."""
    left = time_left(state, now)
    return "" if left is None else f", about {duration(max(1.0, round(left)))} left"


def time_left(state: JobState, now: float) -> float | None:
    """Seconds; None while there is nothing to judge by. Time in which the store was away does not count."""
    since, summary, waits = state.planned_at, state.summary, state.waits
    if since is None or summary is None or now - since - waits.between(since, None) < LEAST_SECONDS:
        return None
    barrier = state.barrier_at if state.phase is Phase.WRITING else None
    writing = now - barrier - waits.between(barrier, None) if barrier is not None else None
    return seconds_left(
        read=state.read_share,
        wrote=state.written_share,
        reading=(barrier or now) - since - waits.between(since, barrier),
        writing=writing,
        write_share=summary.write_share,
        expected=summary.seconds_after,
    )
