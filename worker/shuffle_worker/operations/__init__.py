"""What is done with the rows: the map side that makes shards, the reduce side that makes files.

A folder an operation: `plan.py` has what it decides while a job is planned, the others what it does with rows. What
several of them are made of is in `steps/`; what groupBy collects of a group, in `aggregation/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shuffle_protocol.errors import Internal
from shuffle_protocol.messages import Apply, Distinct, GroupBy, Join, Repartition, Sort
from shuffle_worker.runtime.heap import keep_freed_memory
from shuffle_worker.steps.operation import Operation

if TYPE_CHECKING:  # what moves bytes needs `base.py` only, and is to start without the rest
    from shuffle_worker.plan.record import Plan
    from shuffle_worker.readers.reader import Reader
    from shuffle_worker.steps.files import Files

__all__ = ["operation_for"]


def operation_for(
    plan: Plan,
    files: Files,
    scratch: Path | None,
    batch_bytes: int,
    function_memory: int = 0,
    readers: Sequence[Reader] = (),
) -> Operation:
    """The operation that a plan's job asks for. files: where its output files are made. scratch: a folder for what does
    not fit in memory. batch_bytes: rows that a splitter may hold; its working set is three times that. function_memory:
    bytes for the process of a user's function, one for each lease. readers: of each input, for what an operation reads
    by itself (the small side of a join)."""
    keep_freed_memory()
    if isinstance(plan.job.operation, Sort):
        from shuffle_worker.operations.sort.rows import SortOperation

        return SortOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Repartition):
        from shuffle_worker.operations.repartition.rows import RepartitionOperation

        return RepartitionOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, GroupBy):
        from shuffle_worker.operations.group_by.rows import GroupByOperation

        return GroupByOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Distinct):
        from shuffle_worker.operations.distinct.rows import DistinctOperation

        return DistinctOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Join):
        if plan.broadcast is not None:
            from shuffle_worker.operations.join.broadcast import BroadcastJoin

            return BroadcastJoin(plan, files, scratch, batch_bytes, readers)
        from shuffle_worker.operations.join.reduce import JoinOperation

        return JoinOperation(plan, files, scratch, batch_bytes, readers)
    if isinstance(plan.job.operation, Apply):
        from shuffle_worker.operations.apply.rows import ApplyOperation

        return ApplyOperation(plan, files, scratch, batch_bytes, function_memory)
    raise Internal(f"there is no operation for {type(plan.job.operation).__name__}")
