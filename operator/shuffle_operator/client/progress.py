"""A job's status as the coordinator's snapshot, which is what progress bars and summaries are made from."""

from __future__ import annotations

from datetime import UTC, datetime

from shuffle_operator.api.status import Barrier, ByteCounts, OutputSummary, PartitionCounts, RowCounts, WorkerCounts
from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Phase


def snapshot_of(job: SubmittedJob) -> Snapshot:
    """What the status does not say is 0."""
    status = job.status
    barrier, workers = status.barrier or Barrier(), status.workers or WorkerCounts()
    rows, size = status.rows or RowCounts(), status.bytes or ByteCounts()
    partitions, output = status.partitions or PartitionCounts(), status.output or OutputSummary()
    seconds = 0.0
    if status.start_time is not None:
        end = status.completion_time or datetime.now(UTC)
        seconds = max(0.0, (end - status.start_time).total_seconds())
    return Snapshot(
        name=job.name,
        uid=job.uid,
        phase=Phase(job.phase),
        message=job.message,
        progress=float(status.progress or 0),
        epoch=status.epoch or 0,
        seconds=seconds,
        splits=barrier.splits or 0,
        splits_done=barrier.splits_done or 0,
        splits_redone=0,
        partitions=partitions.total or 0,
        partitions_written=partitions.written or 0,
        groups=0,
        groups_written=0,
        workers_desired=workers.desired or 0,
        workers_ready=workers.ready or 0,
        workers_lost=workers.lost or 0,
        workers_replaced=workers.replaced or 0,
        rows_read=rows.read or 0,
        rows_received=rows.received or 0,
        rows_written=rows.written or 0,
        input_bytes=0,
        bytes_read=size.read or 0,
        bytes_sent=size.sent or 0,
        bytes_spilled=size.spilled or 0,
        bytes_written=size.written or 0,
        files=output.files or 0,
        largest=partitions.largest_bytes or 0,
        median=partitions.median_bytes or 0,
        memory_peak=0,
        cpu_seconds=0.0,
        refused=0,
        repeated=0,
        corrupt=0,
        failures=status.failures or 0,
        disruptions=status.disruptions or 0,
        output=output.path or "",
        manifest=f"{(output.path or '').rstrip('/')}/{output.manifest}" if output.manifest else "",
        reason=job.reason if job.failed else "",
        cause=job.message if job.failed else "",
        refusal=False,
        left_behind=False,
        scratch_needed=0,
    )
