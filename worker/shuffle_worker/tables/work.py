"""The work of a real worker: plan, read, write, commit, abort over object storage and Arrow. Implements `work.Work`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import structs

from shuffle_protocol import trail
from shuffle_protocol.formats import written_suffix
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary, WrittenGroup
from shuffle_protocol.sizes import classes
from shuffle_worker.operations.registry import operation_for, planning_for
from shuffle_worker.output.claim import claim
from shuffle_worker.output.groups import written_groups
from shuffle_worker.output.manifest import GroupRecord, Partitioning
from shuffle_worker.output.names import part_name, report_path, staging
from shuffle_worker.plan.persist import load, save, saved
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.planner import check_output, make_plan
from shuffle_worker.readers import readers_for
from shuffle_worker.readers.reader import Reader, within
from shuffle_worker.runtime.pressure import give_back, keep_free, relieve
from shuffle_worker.runtime.scratch import ScratchFolder
from shuffle_worker.runtime.stopwatch import READ, each_in
from shuffle_worker.steps.files import keeps
from shuffle_worker.steps.key_sample import Aggregating, SampledSource
from shuffle_worker.steps.operation import READER_PART, Given, Operation, batch_bytes_of, in_pieces
from shuffle_worker.steps.splitter import batch_rows
from shuffle_worker.storage import Sink, Storage, Storages
from shuffle_worker.store.store import ShardSource, rows_received
from shuffle_worker.tables.commit import abort, commit, record_group, undo
from shuffle_worker.transfer.work import Committed, Step, WorkSetup, Written


class OutputFiles:
    """Where partitions go: under their final names, or into staging where they replace older output at commit."""

    def __init__(self, plan: Plan, storage: Storage, scratch: Path | None = None) -> None:
        output = plan.job.output
        self.scratch = scratch
        self._folder = staging(output.path, plan.job.uid) if output.overwrite else output.path.rstrip("/")
        self._suffix = written_suffix(output.format, output.compression)
        self._storage = storage

    def create(self, partition: int) -> tuple[str, Sink]:
        return self._create(part_name(partition, self._suffix))

    def create_in(self, folder: str, partition: int) -> tuple[str, Sink]:
        return self._create(f"{folder}/{part_name(partition, self._suffix)}")

    def _create(self, name: str) -> tuple[str, Sink]:
        return name, self._storage.create(f"{self._folder}/{name}")


class Tasks:
    """One worker's work on one job. `load` comes first (but for plan and abort); calls come from several threads."""

    def __init__(self, setup: WorkSetup) -> None:
        self._owner = setup.owner
        self._budgets = setup.budgets
        self._scratch = setup.scratch
        self._leases = setup.budgets  # until a plan says what they need
        self._batch_bytes = batch_bytes_of(setup.budgets)
        self._wrote = False
        self._room = ScratchFolder(setup.scratch, setup.scratch_share, setup.scratch_limit)
        self._plan: Plan | None = None
        self._together: Sequence[Sequence[str]] = ()
        self._readers: list[Reader] = []
        self._operation: Operation | None = None
        self._storages = setup.storages or Storages()
        self._output: Storage | None = None

    @property
    def loaded(self) -> Plan:
        assert self._plan is not None, "the plan is loaded before the work begins"
        return self._plan

    def plan(self, job: Job) -> PlanSummary:
        storage = self._storages.of(job.output.path, job.output.storage)
        before = saved(storage, job)
        if before is not None:
            return before.summary  # by a worker that is gone: what was written goes by it
        with trail.at("making the plan"):
            plan = make_plan(job, self._budgets, self._inputs(job), storage, self._scratch)
        self._room.check(plan.summary.scratch_needed, min(job.workers, plan.layout.groups))
        claim(job, storage, self._owner, check_output, undo)
        save(plan, storage)
        give_back()
        return plan.summary

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        self._output = self._storages.of(job.output.path, job.output.storage)
        plan = load(self._output, job, fingerprint)
        self._leases = self._budgets.for_job(plan.summary.reading, plan.summary.writing)
        self._batch_bytes = batch_bytes_of(self._leases)
        memory = self._budgets.shared_by(job.functions_called).functions
        ahead = self._leases.reading // READER_PART
        self._readers = readers_for(plan, self._inputs(job), budget=ahead, functions=memory, scratch=self._scratch)
        files = OutputFiles(plan, self._output, self._scratch)
        self._operation = operation_for(Given(plan, files, self._scratch, self._batch_bytes, memory, self._readers))
        self._plan = plan
        self._together = together(plan)
        return plan.summary

    def recorded(self, job: Job, fingerprint: str) -> list[WrittenGroup]:
        storage = self._storages.of(job.output.path, job.output.storage)
        found = written_groups(storage, job.output.path, job.uid, fingerprint, GroupRecord)
        return [WrittenGroup(one.group, one.rows, sum(file.bytes for file in one.files), one.received) for one in found]

    def buckets(self) -> int:
        return self.loaded.layout.buckets

    def group_of(self, bucket: int) -> int:
        if not 0 <= bucket < self.loaded.layout.buckets:
            raise IndexError(f"there is no bucket {bucket}")
        return self.loaded.layout.bucket_group(bucket)

    def buckets_of(self, group: int) -> range:
        return self.loaded.layout.group_buckets(group)

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        assert self._operation is not None
        plan = self.loaded
        one = plan.splits[split]
        keep_free(self._leases.resident(self._leases.reading))
        splitter = self._operation.splitter(wanted, one.input)
        table = plan.inputs[one.input]
        rows_at_once = batch_rows(plan.layout.buckets, max(table.row_bytes, table.read_bytes), self._batch_bytes)
        for rows in each_in(READ, iter(self._readers[one.input].read(one, rows_at_once))):
            read, fetched = rows.batch.num_rows, rows.bytes_read
            for part in within(rows, self._batch_bytes):
                for shards in in_pieces(splitter, part):
                    yield Step(shards, read, fetched)
                    read = fetched = 0
                    relieve()
        yield Step(splitter.flush(), 0, 0)

    def write(self, group: int, source: ShardSource, *, alone: bool = True) -> Written:
        assert self._operation is not None
        assert self._output is not None
        memory = self._leases.writing if alone else self._leases.reading
        keep_free(self._leases.resident(memory))
        if not self._wrote:
            self._wrote = True
            give_back()  # reading needed other memory
        if self.loaded.job.output.partition_by:
            memory //= 2  # rows that are sorted into folders have the other half
        with trail.at(f"writing group {group} of {self.loaded.job.output.path}"):
            sampled = self._sampled(group, source)
            partitions = list(self._operation.write(group, sampled, memory))
        key = sampled.largest()
        received = rows_received(source, self.buckets_of(group))
        record_group(self.loaded, group, partitions, received, self._output)
        results = [file for partition in partitions for file in partition.files]
        largest = max(results, key=lambda r: r.bytes, default=None)
        return Written(
            files=len(results),
            rows=sum(r.rows for r in results),
            bytes=sum(r.bytes for r in results),
            largest=largest.bytes if largest is not None else 0,
            received=received,
            sizes=classes(r.bytes for r in results),
            largest_file=largest.name[:200] if largest is not None else "",
            key=key.text,
            key_share=key.share,
        )

    def _sampled(self, group: int, source: ShardSource) -> SampledSource:
        form = self._operation.form if isinstance(self._operation, Aggregating) else None
        return SampledSource(source, self.loaded, self.buckets_of(group), self._together, form)

    def commit(self, rows: int) -> Committed:
        assert self._output is not None
        return commit(self.loaded, partitioning(self.loaded), rows, self._output)

    def report(self, data: bytes) -> None:
        assert self._output is not None
        self._output.put(report_path(self.loaded.job.output.path), data)

    def abort(self, job: Job) -> None:
        abort(job, self._storages.of(job.output.path, job.output.storage))

    def _inputs(self, job: Job) -> list[Storage]:
        return [self._storages.of(one.paths[0], one.storage) for one in job.inputs]


def together(plan: Plan) -> list[Sequence[str]]:
    """Of each input, the columns whose equality brings rows to one file; none where they do not travel by a key."""
    if plan.broadcast:
        return [[] for _ in plan.inputs]
    planning = planning_for(plan.job)
    return [planning.together(at) for at in range(len(plan.inputs))]


def partitioning(plan: Plan) -> Partitioning:
    """What the manifest says of how rows were partitioned."""
    found = planning_for(plan.job).partitioning_of(plan)
    if found.method == "hash" and not found.keys:  # a distinct by all columns
        found = structs.replace(found, keys=plan.arrow_schema().names)
    if any(not keeps(plan, name) for name in found.keys):
        return Partitioning("none", [], found.count)  # nobody can tell by the columns that are there
    return found
