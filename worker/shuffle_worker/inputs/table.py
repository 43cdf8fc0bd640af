"""One input, worked out: its files, the columns that are read of it, its filter, how much of it there is.

Called by the planner for each input, in two steps: `find` lists and reads footers, so that all schemas are known and
can be judged together; `measure` reads some rows. What one input is does not depend on the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Input, Job, SortKey
from shuffle_protocol.units import some
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.computed import Computed, compile_computed, needs
from shuffle_worker.expressions.filter import Filter, columns_of, compile_filter
from shuffle_worker.inputs import metadata
from shuffle_worker.inputs.dictionaries import settled
from shuffle_worker.inputs.planned import FoundTable, Needs, PlannedInput
from shuffle_worker.inputs.probe import UNSEEN, Probe, RowGroupRef, probe, probe_mapped, read_through
from shuffle_worker.inputs.reading import (
    FileLook,
    FoundFile,
    InputFiles,
    Uses,
    check_apart,
    check_carried,
    read_inputs,
    select,
)
from shuffle_worker.plan import sizing
from shuffle_worker.plan.record import FilePiece, Split
from shuffle_worker.readers.source import MAPPED_SPAN
from shuffle_worker.storage.storage import Storage

if TYPE_CHECKING:
    from shuffle_worker.inputs.mapped import MappedTable, PlannedMap
    from shuffle_worker.readers.function import ReaderProcesses

NAMES_SHOWN = 5


def find(job: Job, index: int, operation: Needs, storage: Storage, calls: ReaderProcesses | None = None) -> FoundTable:
    """calls: of the input's reader function. Raises the JobErrors of bad input."""
    source = job.inputs[index]
    filtered = columns_of(source.filter, index) if source.filter else []
    asked = operation if not source.map else EVERYTHING  # what it asks for is what the function returns
    needed = asked.needed(index)
    keys = [key.column for key in asked.range_keys()]
    ranged = [*filtered, *keys, *asked.bounded(index)]
    sent = source.columns if needed is None else needed
    where = f"inputs[{index}].compute"
    uses = Uses(
        filtered=needs(source.compute, filtered, where),
        keys=needs(source.compute, keys, where),
        bounded=needs(source.compute, asked.bounded(index), where),
        sent=None if sent is None else needs(source.compute, sent, where),
    )
    found = read_inputs(source, storage, uses, index=index, strict=uses.sent is None, calls=calls)
    found = _named(source, index, found)
    check_apart(source, found, job.output.path)
    computed = compile_computed(source.compute, found.schema, where)
    schema = found.schema if computed is None else computed.of(found.schema)
    kept = select(schema, source.columns, index)
    if kept.names != found.schema.names:
        kept, said = metadata.narrowed(kept)
        found = found._replace(notes=[*found.notes, *said])
    if computed is not None:
        found = _with_computed(found, computed, ranged)
    used = [*(kept.names if needed is None else needed), *filtered]
    carried = frozenset(used if computed is None else computed.needed(used))
    check_carried([field for field in found.schema if field.name in carried], found.files, index)
    return FoundTable(index, source, storage, found, schema, kept, filtered, computed)


def _named(source: Input, index: int, found: InputFiles) -> InputFiles:
    """With the column that holds the input's name. Raises InvalidSpec where there is one of its name."""
    name = source.name_as
    if not name:
        return found
    if name in found.schema.names:
        raise InvalidSpec(
            f"inputs[{index}].nameAs: {found.files[0].info.path} and the like have a column {name!r} already; choose "
            "another name"
        )
    schema = schema_of([*found.schema, pa.field(name, pa.string(), nullable=False)], found.schema.metadata)
    files = [file._replace(hive={**file.hive, name: source.name}) for file in found.files]
    return found._replace(schema=schema, files=files)


def _with_computed(found: InputFiles, computed: Computed, ranged: Sequence[str]) -> InputFiles:
    """ranged: the columns whose smallest and largest values are asked for."""
    files = [file.with_computed(computed, ranged) for file in found.files]
    there = [name for name in computed.names if found.schema.get_field_index(name) >= 0]
    notes = found.notes
    if there and found.schema.metadata:
        notes = [*notes, f"what files say of themselves is left out: {some(there, NAMES_SHOWN)} is computed anew"]
    # a column that is not even read for the one in its place is known all the same
    strict = found.opening.strict and set(there) <= set(computed.sources.names)
    opening = found.opening._replace(strict=strict)
    return found._replace(files=[file._replace(opening=opening) for file in files], opening=opening, notes=notes)


def compiled(one: FoundTable, every: Sequence[FoundTable]) -> Filter | None:
    """The input's filter. every: all inputs, for the advice that a filter on a column of another one gets."""
    text, schema = one.source.filter, one.schema
    if not text:
        return None
    for name in one.filtered:
        elsewhere = next((other for other in every if name in other.schema.names), None)
        if name not in schema.names and elsewhere is not None:
            other = f"inputs[{elsewhere.number}]"
            who = f"the input {elsewhere.source.name!r}" if elsewhere.source.name else other
            raise InvalidSpec(
                f"inputs[{one.number}].filter: {name!r} is a column of {who}, and a filter sees only the rows of its "
                f"own input; move the condition to {other}.filter"
            )
    return compile_filter(text, schema, one.number, one.computed.names if one.computed is not None else ())


def measure(one: FoundTable, operation: Needs, where: Filter | None) -> PlannedInput:
    """An input that the operation sees by itself."""
    if one.mapped is not None:
        return measure_mapped(one, one.mapped, sent(one.mapped.result, operation, one.number), operation, where)
    schema = settled(sent(one.kept, operation, one.number), [(one.found.files, one.storage)])
    opened = to_be_read(one, schema, where)
    return opened._replace(look=looked(opened, operation))


class _Everything:
    """`Needs` of all columns, and nothing else."""

    def needed(self, index: int) -> Sequence[str] | None:  # noqa: ARG002
        return None

    def range_keys(self) -> list[SortKey]:
        return []

    def bounded(self, index: int) -> Sequence[str]:  # noqa: ARG002
        return ()

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        return ()


EVERYTHING = _Everything()


def mapped(one: FoundTable, function: PlannedMap | None, where: Filter | None) -> FoundTable:
    """With what the input's function makes of its rows, where it has one: nothing is known of these from footers."""
    if function is None:
        return one
    files = [
        file._replace(row_groups=[group._replace(span=MAPPED_SPAN, key_bytes=group.bytes) for group in file.row_groups])
        for file in one.found.files
    ]
    given = schema_of([field.remove_metadata() for field in one.kept], None)
    one = one._replace(found=one.found._replace(files=files), kept=given)
    opened = to_be_read(one, given, where)
    return one._replace(mapped=function.table(opened.files, opened.row_groups, given))


def measure_mapped(
    one: FoundTable, made: MappedTable, schema: pa.Schema, operation: Needs, where: Filter | None
) -> PlannedInput:
    """An input whose rows go through a function. made: of the columns that the operation sees. schema: what is sent of
    these."""
    opened = to_be_read(one, one.kept, where)
    by = operation.grouped_by(schema.names)
    look = probe_mapped(looked(opened, EVERYTHING), made.sample.rows, transport_schema(schema), by)
    share = look.selectivity * made.growth
    files = [
        file._replace(
            asked=file.look._replace(mapping=made, share=share),
            row_groups=[group._replace(ranges={}) for group in file.row_groups],
        )
        for file in opened.files
    ]
    return opened._replace(files=files, schema=schema, look=look, mapped=made)


def sent(schema: pa.Schema, operation: Needs, index: int) -> pa.Schema:
    """Of these columns those that the operation needs."""
    needed = operation.needed(index)
    if needed is None:
        return schema
    used = frozenset(needed)
    return schema_of([field for field in schema if field.name in used], schema.metadata)


def to_be_read(
    one: FoundTable, schema: pa.Schema, where: Filter | None, absent: frozenset[str] = frozenset()
) -> PlannedInput:
    """Everything about an input but what a look at its rows says. schema: what is sent of it. absent: columns of it
    that are null, whatever the files have."""
    extra = pa.schema([one.schema.field(name) for name in one.filtered if schema.get_field_index(name) < 0])
    target = pa.schema([*transport_schema(schema), *transport_schema(extra)])
    everything = target if one.computed is None else _with_sources(target, one.computed)
    look = FileLook(one.storage, target, everything, where, absent)
    files = [file._replace(asked=look) for file in one.found.files]
    groups = kept_groups(files)
    return PlannedInput(
        number=one.number,
        source=one.source,
        files=files,
        schema=schema,
        extra=extra,
        target=target,
        sources=None if one.computed is None else _sources(target, one.computed),
        where=where,
        absent=absent,
        row_groups=groups,
        look=UNSEEN,
        rows=sum(files[group.file].row_groups[group.group].rows for group in groups),
        stored=sum(files[group.file].row_groups[group.group].output_bytes for group in groups),
        columns=len(one.found.schema),
        format=one.found.opening.format,
        strict=one.found.opening.strict,
        notes=one.found.notes,
    )


def looked(one: PlannedInput, operation: Needs) -> Probe:
    """What a look at its rows says."""
    read_through(one.files, one.row_groups)
    written = transport_schema(one.schema)
    return probe(one.files, one.row_groups, written, operation.grouped_by(written.names))


def _with_sources(target: pa.Schema, computed: Computed) -> pa.Schema:
    """With what is read to compute some of it, but for columns that others take the place of."""
    read = computed.read_schema(target)
    known = {*target.names, *computed.names}
    return pa.schema([*target, *(field for field in read if field.name not in known)])


def _sources(target: pa.Schema, computed: Computed) -> pa.Schema | None:
    """What is read to compute some of the columns."""
    names = computed.needed([name for name in target.names if name in computed.names])
    return pa.schema([computed.sources.field(name) for name in names])


def kept_groups(files: Sequence[FoundFile]) -> list[RowGroupRef]:
    """The row groups that may hold rows that pass the filter, in input order. Positions count the others too."""
    out: list[RowGroupRef] = []
    first = 0
    for at, file in enumerate(files):
        where = file.asked.where if file.asked is not None else None
        for number, group in enumerate(file.row_groups):
            if group.rows and (where is None or where.may_match(group.ranges, file.hive, file.schema)):
                out.append(RowGroupRef(at, number, first))
            first += group.positions
    return out


def make_splits(inputs: Sequence[PlannedInput], weights: Sequence[float]) -> list[Split]:
    """The splits of all inputs, those of the first one first. weights: of a row of each, in Arrow bytes."""
    total = sum(one.rows * weight for one, weight in zip(inputs, weights, strict=True))
    splits: list[Split] = []
    before = 0
    for one, weight in zip(inputs, weights, strict=True):
        for called, groups in _stretches(one):
            target = sizing.split_target(total, called)
            splits += splits_of(one.files, groups, weight, target, one.number, before)
        before += len(one.files)
    return splits


def _stretches(one: PlannedInput) -> list[tuple[bool, list[RowGroupRef]]]:
    """Its row groups; those of a union as they follow one another, with whether their rows go through a function."""
    found = itertools.groupby(one.row_groups, key=lambda at: one.files[at.file].look.mapping is not None)
    return [(called, list(groups)) for called, groups in found]


def splits_of(
    files: Sequence[FoundFile],
    groups: Sequence[RowGroupRef],
    row_bytes: float,
    target: float,
    index: int = 0,
    before: int = 0,
) -> list[Split]:
    """Consecutive row groups of an input, gathered up to `target` Arrow bytes; small files share a split. before: the
    files of the inputs before this one, because files are numbered across inputs."""
    splits: list[Split] = []
    held: list[RowGroupRef] = []
    size = 0.0
    for group in groups:
        each = files[group.file].row_groups[group.group].rows * row_bytes
        if held and size + each / 2 > target:
            splits.append(_split(files, held, index, before))
            held, size = [], 0.0
        held.append(group)
        size += each
    if held:
        splits.append(_split(files, held, index, before))
    return splits


def _split(files: Sequence[FoundFile], groups: Sequence[RowGroupRef], index: int, before: int) -> Split:
    pieces: list[FilePiece] = []
    for group in groups:
        if not pieces or pieces[-1].file != before + group.file:
            pieces.append(FilePiece(before + group.file, [], []))
        pieces[-1].row_groups.append(group.group)
        pieces[-1].first_rows.append(group.first)
    found = [files[group.file].row_groups[group.group] for group in groups]
    return Split(
        pieces, bytes=sum(group.bytes for group in found), rows=sum(group.rows for group in found), input=index
    )
