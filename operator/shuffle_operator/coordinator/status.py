"""A snapshot of a job for people: counters that never grow in number, and one sentence.

The command line shows it, the HTTP API serves it, and the resource's status is made from it.
"""

from __future__ import annotations

from msgspec import Struct, field

from shuffle_operator.coordinator.ledger import Ledger
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.remaining import seconds_left
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


def snapshot(machine: Coordinator, now: float) -> Snapshot:
    ledger = machine.ledger
    totals = ledger.totals if ledger is not None else Ledger(0, 0).totals
    plan = machine.summary
    live = machine.members.values()
    past = machine.past
    started = machine.started_at if machine.started_at is not None else now
    end = machine.finished_at if machine.finished_at is not None else now
    output = machine.output
    partitions = plan.group_partitions if plan is not None else []
    written = sum(n for g, n in enumerate(partitions) if ledger is not None and ledger.written[g])
    return Snapshot(
        name=machine.job.name,
        uid=machine.job.uid,
        phase=machine.phase,
        message=_sentence(machine, now),
        progress=machine.percent,
        epoch=machine.epoch,
        seconds=end - started,
        splits=ledger.splits if ledger is not None else 0,
        splits_done=ledger.splits_done if ledger is not None else 0,
        splits_redone=totals.splits_redone,
        splits_resent=totals.splits_resent,
        partitions=plan.partitions if plan is not None else 0,
        partitions_written=written,
        groups=ledger.groups if ledger is not None else 0,
        groups_written=ledger.groups_written if ledger is not None else 0,
        workers_desired=machine.job.workers,
        workers_ready=len(machine.members),
        workers_lost=machine.lost,
        workers_replaced=machine.replaced,
        rows_read=totals.rows_read,
        rows_received=totals.rows_received,
        rows_written=totals.rows_written,
        input_bytes=plan.input_bytes if plan is not None else 0,
        bytes_read=machine.earlier.bytes_read + totals.bytes_read,
        bytes_sent=machine.earlier.bytes_sent + totals.bytes_sent,
        bytes_read_again=totals.bytes_read_again,
        bytes_sent_again=totals.bytes_sent_again,
        bytes_kept=sum(x.counters.kept for x in live),
        bytes_spilled=machine.earlier.bytes_spilled + past.spilled + sum(x.spilled for x in live),
        bytes_written=totals.bytes_written,
        files=totals.files,
        largest=int(output.get("largest", totals.largest)),
        median=int(output.get("median", 0)),
        memory_peak=max([past.memory_peak, *(x.counters.memory_peak for x in live)]),
        cpu_seconds=past.cpu + sum(x.counters.cpu for x in live),
        refused=past.refused + sum(x.counters.refused for x in live),
        repeated=past.repeated + sum(x.counters.repeated for x in live),
        corrupt=past.corrupt + sum(x.counters.corrupt for x in live),
        failures=machine.losses.failures,
        disruptions=machine.losses.disruptions,
        output=machine.job.output.path,
        manifest=str(output.get("manifest", "")),
        reason=machine.cause.reason if machine.cause is not None else "",
        cause=machine.cause.message if machine.cause is not None else "",
        refusal=machine.cause.refusal if machine.cause is not None else False,
        left_behind=machine.left_behind,
        scratch_needed=plan.scratch_needed if plan is not None else 0,
        method=plan.method if plan is not None else "",
        tree=plan.tree if plan is not None else None,
        notes=list(plan.notes) if plan is not None else [],
    )


def _sentence(machine: Coordinator, now: float) -> str:
    """The sentence for people: what is happening, how far it is, how long it will take; or why nothing happens."""
    ledger = machine.ledger
    if machine.cause is not None:
        return f"{machine.cause.reason}: {machine.cause.message}"
    ready, desired = len(machine.members), machine.job.workers
    workers = counted(ready, "worker") if ready >= desired else f"{ready} of {desired} workers"
    if machine.phase is Phase.PENDING or ledger is None:
        return f"{machine.phase}: {workers} ready{_taken_over(machine)}{_trouble(machine)}"
    totals = ledger.totals
    if machine.phase is Phase.TRANSFERRING:
        plan_bytes = sum(machine.summary.split_bytes) if machine.summary is not None else 0
        splits = f"{ledger.splits_done:,} of {counted(ledger.splits, 'split')}"
        text = f"Transferring: {splits}, {readable(totals.bytes_read)} of {readable(plan_bytes)}, {workers}"
    elif machine.phase is Phase.WRITING:
        groups = f"{ledger.groups_written:,} of {counted(ledger.groups, 'group')}"
        text = f"Writing: {groups}, {readable(totals.bytes_written)}, {workers}"
    elif machine.phase is Phase.COMPLETE:
        what = "element" if isinstance(machine.job.operation, Rechunk) else "row"
        rows, files = counted(totals.rows_written, what), counted(totals.files, "file")
        return f"Complete: {rows} in {files}, {readable(totals.bytes_written)}"
    else:
        return f"{machine.phase}: {workers}{_trouble(machine)}"
    behind = machine.setback.sentence or _read_before(machine, totals.bytes_read)
    return text + _remaining(machine, now) + behind + _trouble(machine)


def _read_before(machine: Coordinator, read: int) -> str:
    """Why the message shows fewer bytes than before: a coordinator begins with none, whatever the status says."""
    before = machine.earlier.bytes_read
    if machine.phase is not Phase.TRANSFERRING or read >= before:
        return ""
    return f"; {readable(before)} had been read before a new operator took the job over"


def _trouble(machine: Coordinator) -> str:
    """What workers wait for: of the first of them, and how many there are."""
    troubled = [live for live in machine.members.values() if live.trouble]
    if not troubled:
        return ""
    who = f"worker {troubled[0].worker}" if len(troubled) == 1 else f"{len(troubled)} workers"
    return f"; {who} waiting: {troubled[0].trouble}"


def _taken_over(machine: Coordinator) -> str:
    """What a coordinator that follows others waits for, until it knows how far the job is."""
    if not machine.generation or machine.setback.best <= 0:
        return ""
    at = f"; a new operator took the job over at {machine.percent:.0f} %"
    expected = machine.earlier.workers
    if machine.recovery.awaited and expected:
        return f"{at} and waits up to {machine.settings.patience:.0f} s for its {expected} workers to report"
    return f"{at}, and what is written is kept"


def _remaining(machine: Coordinator, now: float) -> str:
    """', about 4 min left', once enough is done to estimate it. Time in which the store was away does not count."""
    since, summary, waits = machine.planned_at, machine.summary, machine.waits
    if since is None or summary is None or now - since - waits.between(since, None) < LEAST_SECONDS:
        return ""
    barrier = machine.barrier_at if machine.phase is Phase.WRITING else None
    writing = now - barrier - waits.between(barrier, None) if barrier is not None else None
    left = seconds_left(
        read=machine.read_share,
        wrote=machine.written_share,
        reading=(barrier or now) - since - waits.between(since, barrier),
        writing=writing,
        write_share=summary.write_share,
        expected=summary.seconds_after,
    )
    if left is None:
        return ""
    return f", about {duration(max(1.0, round(left)))} left"
