"""What is done with the rows: the map side that makes shards, the reduce side that makes files.

base.py         the contract, and what a shard is
splitter.py     map side: rows in, shards out              assign.py   which cell a row goes to
shards.py       the bytes of a shard                       readback.py shards back from the store
reduce.py       reduce side: buckets in, files out         cutter.py   row groups of one size
sorting.py      a bucket in order                          external_sort.py  one that does not fit in memory
files.py        one output file
collectors.py   one row of all with equal keys: combine.py before they are sent, collect.py when they have come
aggregate/      what groupBy collects of a group
repartition.py, sort.py, groupby.py, distinct.py   the operations
apply.py        a function of the user's, by group; grouping.py: rows cut into what it is called with
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shuffle_worker.errors import Internal
from shuffle_worker.heap import keep_freed_memory
from shuffle_worker.operations.base import Operation
from shuffle_worker.protocol.messages import Apply, Distinct, GroupBy, Join, Repartition, Sort

if TYPE_CHECKING:  # what moves bytes needs `base.py` only, and is to start without the rest
    from shuffle_worker.operations.files import Files
    from shuffle_worker.plan.record import Plan
    from shuffle_worker.readers.base import Reader

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
        from shuffle_worker.operations.sort import SortOperation

        return SortOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Repartition):
        from shuffle_worker.operations.repartition import RepartitionOperation

        return RepartitionOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, GroupBy):
        from shuffle_worker.operations.groupby import GroupByOperation

        return GroupByOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Distinct):
        from shuffle_worker.operations.distinct import DistinctOperation

        return DistinctOperation(plan, files, scratch, batch_bytes)
    if isinstance(plan.job.operation, Join):
        if plan.broadcast is not None:
            from shuffle_worker.operations.broadcast import BroadcastJoin

            return BroadcastJoin(plan, files, scratch, batch_bytes, readers)
        from shuffle_worker.operations.join import JoinOperation

        return JoinOperation(plan, files, scratch, batch_bytes, readers)
    if isinstance(plan.job.operation, Apply):
        from shuffle_worker.operations.apply import ApplyOperation

        return ApplyOperation(plan, files, scratch, batch_bytes, function_memory)
    raise Internal(f"there is no operation for {type(plan.job.operation).__name__}")
