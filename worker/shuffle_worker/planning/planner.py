"""Planning a job: from what the user wrote and what the input is to everything that the workers follow.

`make_plan` is the plan lease. It only reads; a job that must be refused is refused here, before anything is written.
The same input and job give the same plan, byte for byte, so that a plan lease can be run again.

    inputs/table.py         each input by itself: files, columns, filter, size
    operations/*/plan.py    what the operation needs of them, and what comes out
    here                    the two together: layout, splits, boundaries, the record
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from msgspec import structs

from shuffle_protocol.errors import InvalidSpec, OutOfMemory, OutputExists
from shuffle_protocol.jobs import TARGET_BYTES, Job
from shuffle_protocol.measures import FrequentKey
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanSummary
from shuffle_protocol.units import readable, some
from shuffle_worker.inputs import metadata
from shuffle_worker.inputs.planned import Columns, FoundTable, PlannedInput, Size
from shuffle_worker.inputs.probe import guessed_bytes
from shuffle_worker.inputs.table import compiled, find, make_splits, mapped, measure
from shuffle_worker.inputs.union import columns_of_union, measure_union
from shuffle_worker.operations.join.aligned import splits_by_file
from shuffle_worker.operations.registry import planning_for
from shuffle_worker.output.claim import Other, notes_on, occupants
from shuffle_worker.output.existing import check_replaceable, committed, is_output
from shuffle_worker.output.folders import check_folders
from shuffle_worker.output.names import SUCCESS, staging
from shuffle_worker.output.storable import storable
from shuffle_worker.plan import sizing
from shuffle_worker.plan.method import OBJECTS, choose
from shuffle_worker.plan.persist import with_fingerprint
from shuffle_worker.plan.record import Plan, SkewedKey
from shuffle_worker.plan.seconds import expected_seconds
from shuffle_worker.planning.coding import coding
from shuffle_worker.planning.foldering import check_values
from shuffle_worker.planning.needs import ALL, needs
from shuffle_worker.planning.tree import Decided, tree_of
from shuffle_worker.steps.keyed import free_name
from shuffle_worker.steps.planning import Planning
from shuffle_worker.steps.result import ResultShape, shape_of
from shuffle_worker.storage.storage import Storage

if TYPE_CHECKING:
    from shuffle_worker.inputs.mapped import PlannedMap
    from shuffle_worker.readers.function import ReaderProcesses

TYPES_SHOWN = 5


def make_plan(
    job: Job,
    budgets: Budgets,
    storages: Sequence[Storage],
    storage_out: Storage,
    scratch: Path | None = None,
    *,
    timed: bool = False,
) -> Plan:
    """budgets: of each worker. storages: of each input. scratch: a folder for what is only needed here. timed:
    estimates may use times measured now, so that no two plans are the same; for a plan that is only shown. Raises
    JobError where the job cannot be carried out as written."""
    budgets = budgets.shared_by(job.functions_called)
    if not any(source.reader or source.map for source in job.inputs):
        nothing = FunctionsOfInputs([None] * len(job.inputs), [None] * len(job.inputs))
        return _planned(job, budgets, storages, storage_out, scratch, nothing, timed)
    from shuffle_worker.inputs.mapped import maps_of
    from shuffle_worker.readers.function import calls_of

    with calls_of(job, budgets.functions, scratch) as calls, maps_of(job, budgets.functions, scratch) as maps:
        return _planned(job, budgets, storages, storage_out, scratch, FunctionsOfInputs(calls, maps), timed)


class FunctionsOfInputs(NamedTuple):
    """For each input its functions; None where it has none."""

    readers: Sequence[ReaderProcesses | None]
    maps: Sequence[PlannedMap | None]

    @property
    def code(self) -> list[str]:
        """As `Plan.code`."""
        return next((one.code for one in (*self.readers, *self.maps) if one is not None), [])


def _planned(
    job: Job,
    budgets: Budgets,
    storages: Sequence[Storage],
    storage_out: Storage,
    scratch: Path | None,
    calls: FunctionsOfInputs,
    timed: bool,
) -> Plan:
    operation = planning_for(job)
    operation.timed = timed
    if operation.inputs > 1 and len(job.inputs) != operation.inputs:
        raise InvalidSpec(f"inputs: {len(job.inputs)} are given; this operation takes {operation.inputs}")
    found = [find(job, index, operation, storage, calls.readers[index]) for index, storage in enumerate(storages)]
    together = None if any(calls.maps) else _checked(operation, found)
    filters = [compiled(one, found) for one in found]
    if any(calls.maps):
        found = [mapped(one, made, where) for one, made, where in zip(found, calls.maps, filters, strict=True)]
        together = _checked(operation, found)
    others = check_output(job, storage_out)
    if together is None:
        parts = inputs = [measure(one, operation, where) for one, where in zip(found, filters, strict=True)]
    else:
        parts, whole = measure_union(found, together, operation, filters)
        inputs = [whole]
    operation.settle(inputs, budgets, scratch)
    result = operation.output([one.schema for one in inputs])
    shape = shape_of(job.output, result)
    schema, said = _described(operation, inputs, job, result, shape)
    stored = storable(schema, job.output.format)
    check_folders(job.output.partition_by, schema)
    size = operation.size([one.size for one in inputs])
    written = sizing.written_bytes(
        size.stored,
        size.rows * size.row_bytes,
        {one.format for one in parts},
        job.output.format,
        job.output.compression,
    )
    size = size._replace(stored=written * _share(result, schema))
    arrow_bytes = sum(one.size.rows * (one.size.row_bytes + operation.key_bytes) for one in inputs)
    if operation.broadcast:
        arrow_bytes = size.rows * size.row_bytes
    partitions = sizing.partition_count(job.output.partitions, job.output.target_bytes, size.stored)
    sizes = [one.size for one in inputs]
    if not job.output.partitions and job.output.target_bytes == TARGET_BYTES:
        partitions = operation.files(partitions, sizes, size)
    partitions = operation.aligned or partitions
    crowded = check_values(job, inputs, partitions)
    held = arrow_bytes * operation.weight(sizes)
    layout = sizing.layout_for(partitions, held, in_ranges=operation.in_ranges, working=budgets.working)
    every_split = make_splits(inputs, [operation.row_weight(one) for one in inputs])
    splits = [split for split in every_split if split.input not in operation.broadcast and not operation.aligned]
    skewed = operation.skewed(inputs, partitions)
    row_group_rows = sizing.row_group_rows(size.row_bytes * max(_share(result, schema), 1.0))
    needed = _memory_needed(budgets, parts, size, row_group_rows)
    files = [file for one in parts for file in one.records]
    method = choose(job, len(splits), layout.groups, int(arrow_bytes))
    seconds = expected_seconds(
        arrow_bytes,
        operation.called_seconds(sizes, partitions),
        mapped=sum(one.mapped.seconds(one.passing, timed) for one in parts if one.mapped is not None),
        workers=job.workers,
        groups=layout.groups,
        in_order=operation.in_ranges,
    )
    row_group = row_group_rows * size.row_bytes
    through_store = method.name != OBJECTS
    need = needs(operation, parts, storages, layout, arrow_bytes, row_group, budgets) if through_store else ALL
    owners = min(job.workers, layout.groups)
    spilled = sizing.scratch_needed(arrow_bytes, owners, budgets.for_job(*need)) if through_store else 0
    boundaries = operation.boundaries(inputs[0], layout, budgets.working)
    few = [name for name in size.few if name not in job.output.compute]
    dictionary = [field.name for field in schema if field.name in few or pa.types.is_dictionary(field.type)]
    coded = coding(job, operation, inputs, dictionary)
    decided = Decided(schema, size, layout, method, spilled, row_group_rows, dictionary)
    plan = Plan(
        job=job,
        inputs=[structs.replace(one.table, coded=names) for one, names in zip(inputs, coded.inputs, strict=True)],
        united=[] if together is None else [one.table for one in parts],
        schema=(schema if shape is None else result).serialize().to_pybytes(),
        final=None if shape is None else schema.serialize().to_pybytes(),
        files=files,
        splits=splits,
        layout=layout,
        summary=PlanSummary(
            fingerprint="",
            split_bytes=[split.bytes for split in splits],
            group_partitions=[len(layout.group_partitions(group)) for group in range(layout.groups)],
            partitions=layout.partitions,
            input_files=len(files),
            input_bytes=sum(file.size for file in files),
            input_rows=-1 if any(file.rows < 0 for file in files) else sum(file.rows for file in files),
            memory_needed=needed,
            scratch_needed=spilled,
            method=method.name,
            method_reason=method.reason,
            tree=tree_of(job, operation, parts, inputs, decided),
            seconds=round(seconds.total, 1),
            seconds_after=round(seconds.after, 1),
            write_share=round(seconds.write_share, 3),
            keeps_rows=operation.keeps_rows,
            leaves_out=bool(job.output.filter),
            frequent_keys=_frequent(skewed, inputs, operation),
            reading=need.reading,
            writing=need.writing,
            notes=notes_on(job, others) + _notes(inputs, schema, stored, job.output.format) + said + crowded,
        ),
        row_bytes=size.row_bytes,
        row_group_rows=row_group_rows,
        dictionary=dictionary,
        values=coded.values,
        boundaries=boundaries,
        code=operation.code or calls.code,
        broadcast=list(operation.broadcast),
        small=[split for split in every_split if split.input in operation.broadcast],
        skewed=skewed,
        partners=operation.partners,
        aligned=splits_by_file(inputs) if operation.aligned else [],
        cuts=operation.cuts,
        key_column=free_name(inputs[0].schema.names) if operation.key_bytes else "",
    )
    return with_fingerprint(plan)


def _checked(operation: Planning, found: Sequence[FoundTable]) -> Columns | None:
    """What the inputs have together, where they are a union. Raises the JobErrors of columns that the operation cannot
    be done with."""
    together = columns_of_union(found) if operation.inputs == 1 and len(found) > 1 else None
    operation.check([one.columns for one in found] if together is None else [together])
    return together


MOST_FREQUENT = 20
"""Frequent keys that the summary names."""


def _frequent(skewed: Sequence[SkewedKey], inputs: Sequence[PlannedInput], operation: Planning) -> list[FrequentKey]:
    """The skewed keys as people see them, the most frequent first."""
    found = []
    for one in sorted(skewed, key=lambda key: (-key.bytes, key.key))[:MOST_FREQUENT]:
        size = inputs[one.input].size
        text = f"{', '.join(operation.together(one.input))} = {one.key}"
        found.append(FrequentKey(text[:200], one.bytes, round(one.bytes / max(size.rows * size.row_bytes, 1.0), 4)))
    return found


def _described(
    operation: Planning, inputs: Sequence[PlannedInput], job: Job, result: pa.Schema, shape: ResultShape | None
) -> tuple[pa.Schema, list[str]]:
    """The output's schema with the notes that hold for it, and sentences about those that do not."""
    every = [one.schema for one in inputs]
    schema = result if shape is None else shape.schema
    if set(job.output.compute) & set(result.names):  # of which files say something else
        told = "what files say of themselves is left out: output.compute makes some of their columns anew"
        return schema.remove_metadata(), [told] if any(one.metadata for one in every) else []
    stored = [name for name in schema.names if name not in job.output.partition_by]
    return metadata.settled(schema, operation.described_by(every), stored, same=operation.same_rows)


def _share(result: pa.Schema, schema: pa.Schema) -> float:
    """How large what is written is beside the result, by its columns."""
    return 1.0 if result.names == schema.names else guessed_bytes(schema) / guessed_bytes(result)


def _notes(inputs: Sequence[PlannedInput], schema: pa.Schema, stored: pa.Schema, name: str) -> list[str]:
    """Notes for people: about the input, and about what the output's format does to types."""
    changed = [
        f"{field.name} ({field.type} as {kept.type})"
        for field, kept in zip(schema, stored, strict=True)
        if field.type != kept.type and not pa.types.is_dictionary(field.type)
    ]
    types = [f"{name} has no such types, so these are written: {some(changed, TYPES_SHOWN)}"]
    return [note for one in inputs for note in one.notes] + (types if changed else [])


def _memory_needed(budgets: Budgets, inputs: Sequence[PlannedInput], size: Size, row_group_rows: int) -> int:
    """Raises OutOfMemory where a worker has less."""
    most = 0
    for one in inputs:
        row_bytes = max(size.row_bytes, one.look.row_bytes)
        needed = sizing.memory_needed(row_bytes, row_group_rows, _leaves(one.target), one.decoded)
        most = max(most, needed)
        if budgets.limit >= needed:
            continue
        wide = sizing.memory_needed(row_bytes, row_group_rows, _leaves(one.target))
        if budgets.limit >= wide:
            part = "record batches" if one.format == "Feather" else "stripes"
            raise OutOfMemory(
                f"workers.resources.limits.memory: {readable(budgets.limit)} for each worker is too little: the input "
                f"has {part} of about {readable(one.decoded)}, which are decoded at once ({one.decoded_of}); give "
                f"{readable(needed)}, or write the files again with smaller {part}"
            )
        raise OutOfMemory(
            f"workers.resources.limits.memory: {readable(budgets.limit)} for each worker is too little: rows of "
            f"about {readable(row_bytes)} in {len(one.target)} columns need {readable(needed)}"
        )
    return most


def check_output(job: Job, storage: Storage) -> list[Other]:
    """The other runs that have files there. Raises OutputExists where the output holds anything and is not to be
    replaced, or another run writes there."""
    path = job.output.path.rstrip("/")
    paths, others = occupants(job, storage)
    if job.output.overwrite:
        check_replaceable(paths, path)
        return others
    there = [one for one in paths if not _is_passing(one)]
    if any(one.wrote_here(arrays=False) for one in others):
        there = [one for one in there if not is_output(one, path)]
    if there and not _is_ours(job, path, storage):
        ended = any(other.endswith(f"/{SUCCESS}") for other in there)
        left = "" if ended or not any(is_output(other, path) for other in there) else ", left by a run that did not end"
        raise OutputExists(
            f"output.path: {path} holds {len(there):,} file{'s' if len(there) > 1 else ''} already "
            f"({there[0].rsplit('/', 1)[-1]}, ...){left}; choose another folder, or set output.onExisting: Overwrite"
        )
    return others


def _is_passing(path: str) -> bool:
    """Whether a file is not output yet: in a staging folder, or hidden."""
    *folders, name = path.split("/")
    return name.startswith(".") or any(folder.startswith("_shuffle-") for folder in folders)


def _is_ours(job: Job, path: str, storage: Storage) -> bool:
    """Whether this very job wrote it: it is planned once more after everything that knew of the first time is gone,
    because it was suspended or its coordinator and all workers were lost at once. The same files come out again."""
    staged = staging(path, job.uid)
    return (
        any(i.path.endswith("/plan") for i in storage.listing(staged)) or committed(storage, path, job.uid) is not None
    )


def _leaves(schema: pa.Schema) -> int:
    def count(kind: pa.DataType) -> int:
        if pa.types.is_nested(kind):
            return max(sum(count(kind.field(at).type) for at in range(kind.num_fields)), 1)
        return 1

    return sum(count(field.type) for field in schema)
