"""Apply: a function of the user's is called for each group of rows with equal keys, or for each partition.

Map side: whole rows to the hash of their keys. Reduce side: the rows of a bucket in the order of that hash, so that
groups stand together; then load by load to a process that has imported the function (`functions/host.py`), and what it
returns to the file. Where a partition is cut into buckets does not show, because a bucket is a range of hashes.

Memory, of the `memory` given to `write`: what `Reduce` takes, a load (`CALL_BYTES`) and what the process sends at a
time. With `sortWithin` the results are sorted in half of it. A group need not fit in this process, but in that of the
function, unless it takes batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.errors import JobError
from shuffle_protocol.jobs import Apply
from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import I64
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.functions.failures import Named, called_by_apply, told_to_people, too_large
from shuffle_worker.functions.host import Host, Setup, Trouble
from shuffle_worker.functions.pool import Hosts
from shuffle_worker.functions.shapes import STREAMED, Shape
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.equal_keys import without_nulls
from shuffle_worker.partitioning.order import hash_order
from shuffle_worker.plan import sizing
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.assign import HashAssign
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.grouping import Large, Load, Loads
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import Buffers
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import Sorter, sorter_within
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.store.store import ShardSource


class ApplyOperation:
    """`Operation` for `groupBy` with `apply`."""

    def __init__(self, given: Given, operation: Apply) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._apply = operation
        self._batch_bytes = given.batch_bytes
        self._scratch = scratch
        self._files = PartitionFiles(plan, files)
        self._sorter = Sorter(hash_order(operation.by), scratch)
        self._buffers = Buffers()
        memory = given.function_memory

        def prepared(places: Sequence[ImportPath]) -> Setup:
            return Setup(
                function=operation.function,
                places=places,
                rows=transport_schema(plan.inputs[0].arrow_schema()),
                wanted=transport_schema(plan.arrow_schema()).remove_metadata(),
                memory=memory,
                seconds=operation.seconds,
                gpu=plan.job.gpu,
            )

        self._hosts = Hosts(plan.job, scratch or Path(), plan.code, prepared)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        whole = self._whole(wanted, index)
        return whole if self._apply.nulls == "Keep" else WithoutNulls(whole, self._apply.by)

    def _whole(self, wanted: frozenset[int] | None, index: int) -> Splitter:
        assign = HashAssign(self._apply.by, self._plan.layout.cells)
        return BatchSplitter(self._plan.layout, assign, wanted, self._plan.inputs[index].row_bytes, self._batch_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        if self._plan.job.output.sort_within:
            memory //= 2
        buckets = self._plan.layout.group_buckets(group)
        rows = sum(shard.rows for bucket in buckets for shard in source.shards(bucket))
        with self._hosts.host() as host:
            then = sorter_within(self._plan, self._scratch)
            applied = Applied(self._plan, self._files, host, Course(source, host, rows), then, memory)
            yield from Reduce(self._plan, applied, self._sorter, self._buffers).write(group, source, memory)

    def close(self) -> None:
        """End the processes. They end with this process too."""
        self._hosts.close()


class WithoutNulls:
    """A splitter that leaves out rows with a null in a key column."""

    def __init__(self, splitter: Splitter, keys: Sequence[str]) -> None:
        self._splitter = splitter
        self._keys = keys

    def add(self, rows: Rows) -> list[Shard]:
        return self._splitter.add(rows._replace(batch=without_nulls(rows.batch, self._keys)))

    def flush(self) -> list[Shard]:
        return self._splitter.flush()


class Course:
    """How far the calls for a group's files have come, reported while they go on. rows: of all its files."""

    def __init__(self, source: ShardSource, host: Host, rows: int) -> None:
        self._source = source
        self._host = host
        self._rows = max(rows, 1)
        self._done = 0
        self._ends: I64 | None = None
        source.at(0.0)

    def __call__(self) -> None:
        """A `Check`: raises where the lease was taken away."""
        at, ends = self._host.group, self._ends
        rows = self._done + (int(ends[at - 1]) if ends is not None and 0 < at <= len(ends) else 0)
        self._source.at(rows / self._rows)

    def begin(self, ends: I64 | None) -> None:
        """A call for groups that end at these rows; None: for one whose rows are counted as they go."""
        self._ends = ends

    def add(self, rows: int) -> None:
        """Rows that are done."""
        self._done += rows
        self._ends = None


class Applied:
    """Files of what the function returned for their rows. then: puts the results of a file in order."""

    def __init__(
        self, plan: Plan, files: PartitionFiles, host: Host, course: Course, then: Sorter | None, memory: int
    ) -> None:
        operation = plan.job.operation
        assert isinstance(operation, Apply)
        self._apply = operation
        self._keys = operation.by if operation.per == "Group" else []
        self._rows = sizing.call_rows(plan.inputs[0].row_bytes)
        self._files = files
        self._host = host
        self._course = course
        self._given = 0  # rows of the group that was held last
        self._then = then
        self._memory = memory

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:  # noqa: ARG002
        results = self._results(partition, (batch for batch in batches if batch is not None))
        if self._then is not None:
            results = self._then.sorted(([batch] for batch in results), self._memory)
        return self._files.write(partition, results, None)

    def _results(self, partition: int, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        host, course = self._host, self._course
        for load in Loads(stream, self._keys, self._rows, sizing.MOST_CALL_BYTES):
            name = self._named(load, partition)
            try:
                if isinstance(load, Load):
                    course.begin(load.ends)
                    yield from host.call(iter([load.rows]), load.ends, course)
                    course.add(load.rows.num_rows)
                    continue
                host.start(course)
                if host.shape in STREAMED:
                    yield from host.stream(self._taken(load), course)
                else:
                    course.begin(None)
                    yield from host.call(self._held(load, name), None, course)
                    course.add(self._given)
            except Trouble as trouble:
                words = _words(name)
                raise told_to_people(trouble, words, called_by_apply(self._apply), host.setup.memory) from trouble

    def _taken(self, load: Large) -> Iterator[pa.RecordBatch]:
        """The batches of a group that the function takes one by one."""
        for batch in load.batches:
            yield batch
            self._course.add(batch.num_rows)

    def _held(self, load: Large, name: Callable[[int], Named]) -> Iterator[pa.RecordBatch]:
        """The batches of a group that the function's process must hold, within its memory."""
        factor = 2 if self._host.shape is Shape.FRAME else 1
        size = rows = 0
        for batch in load.batches:
            size += batch.nbytes
            rows += batch.num_rows
            if size * factor > self._host.free:
                raise self._too_large(name, rows, size)
            yield batch
        self._given = rows

    def _too_large(self, name: Callable[[int], Named], rows: int, size: int) -> JobError:
        named = name(0)._replace(rows=rows, more=True)
        return too_large(named, self._apply, size, self._host)

    def _named(self, load: Load | Large, partition: int) -> Callable[[int], Named]:
        """Names the group of a number in a load."""

        def name(group: int) -> Named:
            if isinstance(load, Large):
                return Named(self._keys, load.first, partition, None)
            if group < 0 or not self._keys:
                return Named([], load.rows, partition, load.rows.num_rows if group >= 0 else None)
            begin = int(load.ends[group - 1]) if group else 0
            return Named(self._keys, load.rows.slice(begin, 1), partition, int(load.ends[group]) - begin)

        return name


def _words(name: Callable[[int], Named]) -> Callable[[int], str]:
    return lambda group: name(group).of(group)
