"""Working a job out: from what the user wrote and what the input is to everything that the workers will follow.

`make_plan` is the plan lease. It only reads; every way in which a job can be refused is met here, before anything is
written. The same input and job give the same plan, byte for byte, so that a plan lease can be run again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa

from shuffle_worker.errors import InputNotFound, InvalidSpec, OutOfMemory, OutputExists
from shuffle_worker.memory import Budgets
from shuffle_worker.plan import sizing
from shuffle_worker.plan.dictionaries import settled
from shuffle_worker.plan.filter import Filter, columns_of, compile_filter
from shuffle_worker.plan.inputs import Found, InputFiles, check_apart, check_column, read_inputs, select
from shuffle_worker.plan.keys import check_keys
from shuffle_worker.plan.method import OBJECTS, choose
from shuffle_worker.plan.persist import with_fingerprint
from shuffle_worker.plan.probe import GroupOf, Probe, probe
from shuffle_worker.plan.record import File, Piece, Plan, Split
from shuffle_worker.plan.sample import boundaries as sampled_boundaries
from shuffle_worker.plan.schema import transport_schema
from shuffle_worker.protocol.messages import Job, PlanSummary, Repartition, Sort, SortKey
from shuffle_worker.storage.base import Storage
from shuffle_worker.units import readable
from shuffle_worker.writers.commit import check_replaceable, committed, is_output
from shuffle_worker.writers.output import SUCCESS, staging


def make_plan(job: Job, budgets: Budgets, storage_in: Storage, storage_out: Storage) -> Plan:
    """budgets: of each worker. Raises JobError where the job cannot be carried out as written."""
    if len(job.inputs) != 1:
        raise InvalidSpec(f"inputs: {len(job.inputs)} are given; this operation takes one")
    source = job.inputs[0]
    filtered = columns_of(source.filter) if source.filter else []
    keys = range_keys(job)
    found = read_inputs(source, storage_in, filtered, [key.column for key in keys])
    check_apart(source, found.files, job.output.path)
    output = select(found.schema, source.columns)
    check_keys(job, found.schema, output)
    where, extra = _filter(source.filter, filtered, found.schema, output)
    check_output(job, storage_out)

    groups = kept_groups(found.files, where)
    output = settled(output, found.files, storage_in)
    written = transport_schema(output)
    target = pa.schema([*written, *transport_schema(extra)])
    look = probe(found.files, groups, written, target, where, storage_in)
    rows = sum(found.files[one.file].groups[one.group].rows for one in groups)
    arrow_bytes = rows * look.selectivity * look.row_bytes
    stored = sum(found.files[one.file].groups[one.group].output_bytes for one in groups)
    partitions = sizing.partition_count(job.output.partitions, job.output.target_bytes, stored * look.selectivity)
    layout = sizing.layout_for(
        partitions, arrow_bytes, in_ranges=isinstance(job.operation, Sort), working=budgets.working
    )
    splits = make_splits(found.files, groups, look.read_bytes)
    boundaries = None
    if keys:
        boundaries = sampled_boundaries(
            found.files,
            groups,
            keys,
            target,
            where,
            layout,
            storage_in,
            selectivity=look.selectivity,
            separate=isinstance(job.operation, Sort),
        )
    row_group_rows = sizing.row_group_rows(look.row_bytes)
    needed = sizing.memory_needed(look.row_bytes, row_group_rows, _leaves(target))
    if budgets.limit < needed:
        raise OutOfMemory(
            f"workers.resources.limits.memory: {readable(budgets.limit)} for each worker is too little: rows of about "
            f"{readable(look.row_bytes)} in {len(target)} columns need {readable(needed)}"
        )
    method = choose(job, len(splits), layout.groups, int(arrow_bytes))
    plan = Plan(
        job=job,
        schema=output.serialize().to_pybytes(),
        files=_files(found.files),
        splits=splits,
        layout=layout,
        summary=PlanSummary(
            fingerprint="",
            split_bytes=[split.bytes for split in splits],
            group_partitions=[len(layout.group_partitions(group)) for group in range(layout.groups)],
            partitions=layout.partitions,
            input_files=len(found.files),
            input_bytes=sum(file.info.size for file in found.files),
            input_rows=sum(file.rows for file in found.files),
            memory_needed=needed,
            scratch_needed=0 if method.name == OBJECTS else sizing.scratch_needed(arrow_bytes, job.workers, budgets),
            method=method.name,
            method_reason=method.reason,
            notes=_notes(job, found, groups, look, stored, partitions, rows),
        ),
        row_bytes=look.row_bytes,
        row_group_rows=row_group_rows,
        dictionary=_dictionary(output, look),
        boundaries=boundaries,
        filter_columns=extra.serialize().to_pybytes() if extra.names else None,
    )
    return with_fingerprint(plan)


def range_keys(job: Job) -> list[SortKey]:
    """The keys by whose ranges rows are parted; none for hash and round robin."""
    operation = job.operation
    if isinstance(operation, Sort):
        return list(operation.by)
    return [SortKey(name) for name in operation.range] if isinstance(operation, Repartition) else []


def check_output(job: Job, storage: Storage) -> None:
    """Raises OutputExists where the output holds anything and is not to be replaced."""
    path = job.output.path.rstrip("/")
    try:
        storage.info(path)
    except InputNotFound:
        pass
    else:
        raise InvalidSpec(f"output.path: {path} is a file; the output is a folder")
    if job.output.overwrite:
        check_replaceable(storage, path)
        return
    there = [info.path for info in storage.listing(path) if not _is_passing(info.path)]
    if there and not _is_ours(job, path, storage):
        ended = any(other.endswith(f"/{SUCCESS}") for other in there)
        left = "" if ended or not any(is_output(other, path) for other in there) else ", left by a run that did not end"
        raise OutputExists(
            f"output.path: {path} holds {len(there):,} file{'s' if len(there) > 1 else ''} already "
            f"({there[0].rsplit('/', 1)[-1]}, ...){left}; choose another folder, or set output.onExisting: Overwrite"
        )


def _is_passing(path: str) -> bool:
    """Whether a file is no output but on its way: in a staging folder, or hidden."""
    *folders, name = path.split("/")
    return name.startswith(".") or any(folder.startswith("_shuffle-") for folder in folders)


def _is_ours(job: Job, path: str, storage: Storage) -> bool:
    """This very job wrote it: it is planned once more after all that knew of the first time are gone, because it was
    suspended or its coordinator and all workers were lost at once. The same files come out again."""
    staged = staging(path, job.uid)
    return (
        any(i.path.endswith("/plan") for i in storage.listing(staged)) or committed(storage, path, job.uid) is not None
    )


def kept_groups(files: Sequence[Found], where: Filter | None) -> list[GroupOf]:
    """The row groups that may hold rows that pass the filter, in input order. Positions count the others too."""
    out: list[GroupOf] = []
    first = 0
    for at, file in enumerate(files):
        for number, group in enumerate(file.groups):
            if group.rows and (where is None or where.may_match(group.ranges, file.hive, file.schema.names)):
                out.append(GroupOf(at, number, first))
            first += group.rows
    return out


def make_splits(files: Sequence[Found], groups: Sequence[GroupOf], row_bytes: float) -> list[Split]:
    """Consecutive row groups, gathered up to the target; small files share a split."""
    sizes = [files[one.file].groups[one.group].rows * row_bytes for one in groups]
    target = sizing.split_target(sum(sizes))
    splits: list[Split] = []
    held: list[GroupOf] = []
    size = 0.0
    for one, each in zip(groups, sizes, strict=True):
        if held and size + each / 2 > target:
            splits.append(_split(files, held))
            held, size = [], 0.0
        held.append(one)
        size += each
    if held:
        splits.append(_split(files, held))
    return splits


def _split(files: Sequence[Found], groups: Sequence[GroupOf]) -> Split:
    pieces: list[Piece] = []
    for one in groups:
        if not pieces or pieces[-1].file != one.file:
            pieces.append(Piece(one.file, [], []))
        pieces[-1].row_groups.append(one.group)
        pieces[-1].first_rows.append(one.first)
    found = [files[one.file].groups[one.group] for one in groups]
    return Split(pieces, bytes=sum(group.bytes for group in found), rows=sum(group.rows for group in found))


def _filter(text: str, names: Sequence[str], schema: pa.Schema, output: pa.Schema) -> tuple[Filter | None, pa.Schema]:
    """The compiled filter, and the schema of the columns that only it reads."""
    if not text:
        return None, pa.schema([])
    for name in names:
        check_column(name, schema.names, "inputs[0].filter")
    extra = pa.schema([schema.field(name) for name in names if output.get_field_index(name) < 0])
    return compile_filter(text, transport_schema(schema)), extra


def _files(files: Sequence[Found]) -> list[File]:
    out: list[File] = []
    first = 0
    for file in files:
        out.append(File(file.info.path, file.info.size, file.info.tag, file.rows, first, hive=file.hive))
        first += file.rows
    return out


def _dictionary(output: pa.Schema, look: Probe) -> list[str]:
    """Columns to write with a Parquet dictionary: those of few values, and those declared as dictionaries."""
    return [field.name for field in output if field.name in look.few or pa.types.is_dictionary(field.type)]


def _leaves(schema: pa.Schema) -> int:
    def count(kind: pa.DataType) -> int:
        if pa.types.is_nested(kind):
            return max(sum(count(kind.field(at).type) for at in range(kind.num_fields)), 1)
        return 1

    return sum(count(field.type) for field in schema)


def _notes(
    job: Job,
    found: InputFiles,
    groups: Sequence[GroupOf],
    look: Probe,
    stored: int,
    partitions: int,
    rows: int,
) -> list[str]:
    """What a person may want to know of how the plan came about."""
    notes: list[str] = []
    every = sum(len(file.groups) for file in found.files)
    if len(groups) < every:
        notes.append(f"{every - len(groups):,} of {every:,} row groups cannot match the filter and are not read")
    if job.inputs[0].filter and rows:
        notes.append(f"about {look.selectivity:.0%} of the rows in the others pass it, as far as a sample shows")
    if not job.output.partitions:
        share = readable(stored * look.selectivity / partitions)
        notes.append(
            f"{partitions:,} files of about {share}, for output.targetPartitionSize: "
            f"{readable(job.output.target_bytes)}"
        )
    if job.output.partitions > max(math.ceil(rows * look.selectivity), 1):
        notes.append("there are fewer rows than files: some files will be empty")
    return notes
