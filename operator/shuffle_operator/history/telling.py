"""The document out of what was recorded and of where the job stands now."""

from __future__ import annotations

from msgspec import structs

from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.status import Snapshot, snapshot, time_left
from shuffle_operator.history.document import (
    FORMAT,
    JobFacts,
    JobHistory,
    JobLine,
    JobProgress,
    OutputSummary,
    PhaseSpan,
    PlanStep,
    Verdict,
)
from shuffle_operator.history.figures import (
    BIGGEST,
    COLUMNS,
    LANES,
    Activity,
    Doing,
    Marks,
    Skew,
    Timeline,
    WorkerState,
)
from shuffle_operator.history.output_sizes import GROUPS
from shuffle_operator.history.recorder import HistoryRecorder
from shuffle_operator.history.redact import said, shown
from shuffle_operator.history.row_counts import rows_and_bytes
from shuffle_operator.history.samples import sample
from shuffle_operator.history.skew_advice import advice_on
from shuffle_operator.history.verdict import Situation, verdict_on
from shuffle_operator.history.workers import activity
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Figures, Phase, PlanNode
from shuffle_protocol.units import counted, duration

RECENT = 0.25
"""Of the time so far: what is taken as how fast the job is just now."""


def history_of(
    state: JobState, recorder: HistoryRecorder, *, now: float, wall: float, namespace: str = "", version: str = ""
) -> JobHistory:
    """now: of the coordinator's clock; wall: seconds since 1970. namespace: "" for a job on one machine."""
    told = snapshot(state, now)
    timeline = _timeline(state, recorder, told.seconds)
    workers = _workers(recorder)
    skew = recorder.sizes.skew(state.summary.frequent_keys if state.summary is not None else [], state.output)
    return JobHistory(
        format=FORMAT,
        partial=_partial(recorder),
        recorded=round(wall, 3),
        job=_job(state.job, told, namespace, version, wall - _ago(state, now)),
        verdict=_verdict(state, recorder, told, skew, local=not namespace),
        progress=_progress(state, recorder, told, now),
        plan=_step(told.tree, told) if told.tree is not None else None,
        notes=[said(note)[:1000] for note in told.notes[:BIGGEST]],
        timeline=timeline,
        marks=Marks(list(recorder.marks), recorder.marks.left_out, recorder.epochs),
        rows=rows_and_bytes(state, recorder.sums, told),
        skew=skew,
        workers=workers,
        slowest=list(recorder.slowest),
        matrix=recorder.transfers.matrix({n: slot.blocked for n, slot in recorder.slots.items() if n < LANES}),
        losses=recorder.costs.told(told.failures, told.disruptions),
        output=OutputSummary(
            path=shown(told.output),
            manifest=shown(told.manifest),
            files=told.files,
            rows=told.rows_written,
            bytes=told.bytes_written,
            left_behind=told.left_behind,
        ),
        refused=told.refused,
        repeated=told.repeated,
        corrupt=told.corrupt,
    )


def when_committed(history: JobHistory) -> JobHistory:
    """A history taken while the job commits, as it goes beside the output, which is whole by then: who reads it there
    reads of a job that is complete."""
    progress = structs.replace(
        history.progress,
        phase=Phase.COMPLETE,
        percent=100.0,
        message=f"Complete: {history.output.rows:,} rows in {counted(history.output.files, 'file')}",
        over=True,
        left=None,
        left_low=None,
        left_high=None,
    )
    return structs.replace(history, progress=progress)


def line_of(state: JobState, *, now: float, wall: float, namespace: str = "") -> JobLine:
    """The job in a list of jobs."""
    told = snapshot(state, now)
    return JobLine(
        name=told.name,
        uid=told.uid,
        namespace=namespace,
        phase=told.phase,
        percent=round(told.progress, 1),
        message=said(told.message)[:500],
        seconds=round(told.seconds, 1),
        started=round(wall - _ago(state, now), 1),
        workers=told.workers_ready,
        rows_read=told.rows_read,
        bytes_written=told.bytes_written,
        over=state.over,
    )


def _ago(state: JobState, now: float) -> float:
    """Seconds since the job began."""
    return now - state.started_at if state.started_at is not None else 0.0


def _partial(recorder: HistoryRecorder) -> str:
    if recorder.broken:
        return recorder.broken
    if recorder.taken_over:
        before = duration(max(1.0, recorder.taken_over))
        return (
            f"An operator took this job over {before} after it began. What happened before is not in this history; "
            "rows, files and losses are counted as far as the workers and the status have them."
        )
    return ""


def _job(job: Job, told: Snapshot, namespace: str, version: str, started: float) -> JobFacts:
    paths = [path for one in job.inputs for path in one.paths]
    return JobFacts(
        name=job.name,
        uid=job.uid,
        namespace=namespace,
        operation=str(job.operation.__struct_config__.tag),
        inputs=[shown(path) for path in paths[:BIGGEST]],
        output=shown(job.output.path),
        method=told.method,
        workers=told.workers_desired,
        memory=job.memory,
        version=version,
        started=round(started, 1),
    )


def _progress(state: JobState, recorder: HistoryRecorder, told: Snapshot, now: float) -> JobProgress:
    left = None if state.over else time_left(state, now)
    low, high = _between(recorder, left, told.progress)
    spans = list(recorder.spans)
    ends = [start for _, start in spans[1:]] + [None]
    return JobProgress(
        phase=told.phase,
        percent=round(told.progress, 1),
        message=said(told.message)[:2000],
        seconds=round(told.seconds, 2),
        over=state.over,
        reason=told.reason,
        cause=said(told.cause)[:4000],
        left=None if left is None else round(left, 1),
        left_low=low,
        left_high=high,
        splits=told.splits,
        splits_done=told.splits_done,
        groups=told.groups,
        groups_written=told.groups_written,
        partitions=told.partitions,
        workers_ready=told.workers_ready if not state.over else 0,
        phases=[PhaseSpan(phase, start, end) for (phase, start), end in zip(spans, ends, strict=True)],
    )


def _between(recorder: HistoryRecorder, left: float | None, percent: float) -> tuple[float | None, float | None]:
    """Between what the time left is likely to be: what the plan's estimate and the pace of late say, and some room on
    both sides, more of it while little is done."""
    if left is None:
        return None, None
    samples, width = recorder.samples.samples, recorder.samples.width
    room = 0.1 + 0.4 * max(0.0, 1 - percent / 50)
    found = [left]
    back = max(4, int(len(samples) * RECENT))
    if len(samples) > back:
        pace = (samples[-1].percent - samples[-1 - back].percent) / (back * width)
        if pace > 0:
            found.append(min((100 - percent) / pace, 4 * left + 60))
    return round(min(found) * (1 - room), 1), round(max(found) * (1 + room), 1)


def _timeline(state: JobState, recorder: HistoryRecorder, seconds: float) -> Timeline:
    lanes = recorder.lanes
    count = min(COLUMNS, max(1, int(seconds / lanes.width) + (seconds % lanes.width > 0)))
    letters, memory = lanes.columns(count)
    now = recorder.samples.last if state.over and recorder.samples.last else sample(state, recorder.slots.values())
    return Timeline(
        width=lanes.width,
        lanes=max(lanes.lanes, default=-1) + 1,
        columns=letters,
        memory=memory,
        samples=recorder.samples.told(count, now),
        left_out=len(lanes.left_out),
    )


def _workers(recorder: HistoryRecorder) -> list[WorkerState]:
    found = [slot for _, slot in sorted(recorder.slots.items()) if slot.worker < LANES]
    doing = {slot.worker: recorder.lanes.doing(slot.worker) for slot in found if slot.state in ("there", "leaving")}
    return [slot.told(doing.get(slot.worker, Doing.ABSENT)) for slot in found]


def _verdict(state: JobState, recorder: HistoryRecorder, told: Snapshot, skew: Skew, *, local: bool) -> Verdict:
    together = [sum(each) for each in zip(*(slot.seconds for slot in recorder.slots.values()), strict=True)]
    parts = activity(together) if together else Activity()
    slots = max([slot.slots for slot in recorder.slots.values()], default=1)
    wanted = max(0.0, told.seconds - recorder.taken_over) * told.workers_desired * slots
    hot = next((key for key in skew.hot_keys if key.source == GROUPS), None)  # the others are spread over files
    over = state.over or told.phase is Phase.COMMITTING
    most = max([one.workers for one in recorder.samples.samples], default=0)
    return verdict_on(
        Situation(
            activity=parts,
            missing=max(0.0, wanted - sum(together)),
            workers=told.workers_desired,
            ready=max(most, told.workers_ready) if over else told.workers_ready,
            memory=state.job.memory,
            spilled=told.bytes_spilled,
            largest=told.largest,
            median=skew.median,
            partitions=told.partitions,
            splits=told.splits,
            groups=told.groups,
            losses=told.workers_lost,
            lost_seconds=recorder.costs.seconds_lost + recorder.costs.seconds_again,
            retains=state.job.retain_shards,
            local=local,
            compression=state.job.output.compression,
            hot_key=hot.key if hot is not None else "",
            hot_share=hot.share if hot is not None else 0.0,
            hot_advice=advice_on(state.job.operation, hot.key) if hot is not None else "",
            over=over,
        )
    )


def _step(node: PlanNode, told: Snapshot) -> PlanStep:
    return _steps(node, _actual(node, told))


def _steps(node: PlanNode, actual: dict[str, Figures]) -> PlanStep:
    return PlanStep(
        step=node.step,
        what=said(node.what)[:2000],
        why=[said(why)[:2000] for why in node.why[:BIGGEST]],
        estimated=node.estimated,
        actual=actual.get(node.step, Figures()),
        inputs=[_steps(one, actual) for one in node.inputs[:BIGGEST]],
    )


def _actual(tree: PlanNode, told: Snapshot) -> dict[str, Figures]:
    """What was done, by the step's name. Rows and bytes read are counted of all inputs together; they stand at an
    input's own steps where it is alone."""
    found = {
        "Write": Figures(rows=told.rows_written, bytes=told.bytes_written, files=told.files),
        "Shuffle": Figures(rows=told.rows_received, bytes=told.bytes_sent, spilled=told.bytes_spilled),
    }
    steps = _names(tree)
    if steps.count("Read") == 1 and "Filter" in steps:
        found |= {"Filter": Figures(rows=told.rows_read), "Read": Figures(bytes=told.bytes_read)}
    elif steps.count("Read") == 1:
        found["Read"] = Figures(rows=told.rows_read, bytes=told.bytes_read)
    return found


def _names(tree: PlanNode) -> list[str]:
    return [tree.step, *(name for one in tree.inputs for name in _names(one))]
