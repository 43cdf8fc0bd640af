"""The work of a rechunk: plan, read, write, commit and abort over Zarr stores. Implements `work.Work`, as
`tables/work.py` does for tables. The coordinator's rows are elements here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from shuffle_protocol import trail
from shuffle_protocol.errors import JobError
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary, WrittenGroup
from shuffle_protocol.sizes import classes
from shuffle_worker.arrays import commit as ending
from shuffle_worker.arrays.calls import BlockCalls
from shuffle_worker.arrays.coding import Coding
from shuffle_worker.arrays.fetch import Fetcher, Writes
from shuffle_worker.arrays.persist import load, save, saved
from shuffle_worker.arrays.planner import make_plan
from shuffle_worker.arrays.reader import ArrayReader, group_numbers
from shuffle_worker.arrays.record import RechunkPlan
from shuffle_worker.arrays.store import Codecs
from shuffle_worker.arrays.writer import READ_BYTES, ArrayGroupRecord, Writer
from shuffle_worker.output.claim import claim
from shuffle_worker.output.groups import written_groups
from shuffle_worker.output.names import report_path
from shuffle_worker.runtime.pressure import give_back, relieve
from shuffle_worker.runtime.scratch import ScratchFolder
from shuffle_worker.runtime.stopwatch import READ, WRITE, each_in, spending
from shuffle_worker.steps.readback import Buffers
from shuffle_worker.storage import Storage, Storages
from shuffle_worker.store.store import ShardSource, rows_received
from shuffle_worker.transfer.work import Committed, Step, WorkSetup, Written

ROOM = 8
"""Chunks on their way from or to an object store may take one part in so many of a lease's memory."""


class ArrayTasks:
    """One worker's work on one job. Call `load` first, except before plan and abort. Several threads call it."""

    def __init__(self, setup: WorkSetup) -> None:
        self._owner = setup.owner
        self._budgets = setup.budgets
        self._room = ScratchFolder(setup.scratch, setup.scratch_share, setup.scratch_limit)
        self._scratch = setup.scratch
        self._codecs = Codecs()
        self._plan: RechunkPlan | None = None
        self._reader: ArrayReader | None = None
        self._writer: Writer | None = None
        self._storages = setup.storages or Storages()
        self._output: Storage | None = None
        self._outgoing: Fetcher | None = None
        self._has_read = False
        self._group_of: list[int] = []
        self._codings: dict[int, Coding] = {}

    @property
    def loaded(self) -> RechunkPlan:
        assert self._plan is not None, "the plan is loaded before the work begins"
        return self._plan

    def plan(self, job: Job) -> PlanSummary:
        storage = self._storages.of(job.output.path, job.output.storage)
        before = saved(storage, job)
        if before is not None:
            return before.summary  # of a worker that is gone; groups may be written by its plan already
        with trail.at(f"making the plan for {job.inputs[0].paths[0]}"):
            plan = make_plan(job, self._budgets, self._input(job), storage, self._scratch)
        self._room.check(plan.summary.scratch_needed, job.workers)
        claim(job, storage, self._owner, ending.check_output, ending.undo)
        save(plan, storage)
        give_back()
        return plan.summary

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        self._output = self._storages.of(job.output.path, job.output.storage)
        plan = load(self._output, job, fingerprint)
        room = self._budgets.working // ROOM
        folder = job.inputs[0].paths[0].rstrip("/")
        buffers = Buffers()  # a piece that was read leaves its memory to a box that is written
        self._reader = ArrayReader(plan, self._input(job), folder, self._codecs, room, buffers)
        calls = BlockCalls(plan, self._scratch, self._budgets.functions)
        self._writer = Writer(plan, ending.chunk_folder(plan.job), self._coding, calls, buffers)
        self._outgoing = Fetcher(self._output, room)
        self._group_of = group_numbers(plan)
        self._plan = plan
        return plan.summary

    def _coding(self, array: int) -> Coding:
        found = self._codings.get(array)
        if found is None:
            found = self._codings[array] = Coding(self.loaded.arrays[array].target, self._codecs)
        return found

    def buckets(self) -> int:
        return len(self.loaded.buckets)

    def group_of(self, bucket: int) -> int:
        if bucket < 0:
            raise IndexError(f"there is no bucket {bucket}")
        return self._group_of[bucket]

    def buckets_of(self, group: int) -> range:
        return range(self.loaded.groups[group], self.loaded.groups[group + 1])

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        assert self._reader is not None
        self._has_read = True
        with trail.at(f"reading a part of {self.loaded.job.inputs[0].paths[0]}", moves=True):
            for step in each_in(READ, self._reader.read(split, wanted)):
                yield step
                relieve()

    def recorded(self, job: Job, fingerprint: str) -> list[WrittenGroup]:
        storage = self._storages.of(job.output.path, job.output.storage)
        found = written_groups(storage, job.output.path, job.uid, fingerprint, ArrayGroupRecord)
        return [WrittenGroup(one.group, one.elements, sum(one.sizes), one.elements) for one in found]

    def write(self, group: int, source: ShardSource, *, alone: bool = True) -> Written:  # noqa: ARG002 - all the same
        assert self._writer is not None
        assert self._output is not None
        assert self._outgoing is not None
        if self._has_read:
            self._has_read = False
            give_back()  # slabs that were sent; what comes now are boxes
        writes = self._outgoing.writes()
        with trail.at(f"writing group {group} of {self.loaded.job.output.path}"):
            try:
                record = self._writer.write(group, source, writes)
            except BaseException:
                with suppress(JobError):
                    writes.finish()
                raise
        relieve()
        written = Written(
            files=len(record.sizes),
            rows=record.elements,
            bytes=sum(record.sizes),
            largest=max(record.sizes, default=0),
            received=rows_received(source, self.buckets_of(group)),
            sizes=classes(record.sizes),
            rest=partial(self._finish, record, writes),
        )
        return written if self._fits_twice(group) else written.finished()

    def _finish(self, record: ArrayGroupRecord, writes: Writes) -> None:
        assert self._output is not None
        with trail.at(f"writing group {record.group} of {self.loaded.job.output.path}"), spending(WRITE):
            writes.finish()
            ending.record_group(self.loaded, record, self._output)

    def _fits_twice(self, group: int) -> bool:
        """Whether there is memory for one group that is put together while another one is on its way to the disk."""
        largest = max((self.loaded.buckets[bucket].bytes for bucket in self.buckets_of(group)), default=0)
        return 2 * (largest + READ_BYTES) <= self._budgets.working  # slabs of one are read and placed

    def commit(self, rows: int) -> Committed:
        assert self._output is not None
        return ending.commit(self.loaded, rows, self._output)

    def report(self, data: bytes) -> None:
        assert self._output is not None
        self._output.put(report_path(self.loaded.job.output.path), data)

    def abort(self, job: Job) -> None:
        ending.abort(job, self._storages.of(job.output.path, job.output.storage))

    def _input(self, job: Job) -> Storage:
        return self._storages.of(job.inputs[0].paths[0], job.inputs[0].storage)
