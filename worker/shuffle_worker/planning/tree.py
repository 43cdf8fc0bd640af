"""The plan as people know it from databases: from what is written to what is read, with estimates and reasons.

Made by the planner while it still knows what it left out. Part of the plan's summary, so that the coordinator can
show it, before a run and, with the figures of what was done, after it. Bounded: names beyond a few are counted.

    Write <- Sort <- Shuffle <- Filter <- Read
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Figures, PlanNode
from shuffle_protocol.units import counted, readable, some
from shuffle_worker.inputs.planned import PlannedInput, Size
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.method import OBJECTS, Method
from shuffle_worker.steps.planning import Planning

COLUMNS_SHOWN = 12
PATHS_SHOWN = 3


class Decided(NamedTuple):
    """What was decided for the whole job."""

    schema: pa.Schema
    """Of the output."""
    size: Size
    """Of the output."""
    layout: Layout
    method: Method
    spilled: int
    """Bytes on the scratch of all workers."""
    row_group_rows: int
    dictionary: Sequence[str]
    """Columns that are written with a dictionary."""


def tree_of(
    job: Job, operation: Planning, parts: Sequence[PlannedInput], inputs: Sequence[PlannedInput], decided: Decided
) -> PlanNode:
    """parts: the job's inputs. inputs: what the operation sees of them."""
    output, schema, size, layout = job.output, decided.schema, decided.size, decided.layout
    method, dictionary = decided.method, decided.dictionary
    sources = [_mapped(one, _source(one, len(parts) > 1)) for one in parts]
    if len(parts) > len(inputs):
        names = some([one.said for one in parts], COLUMNS_SHOWN)
        rows = round(inputs[0].size.rows)
        sources = [
            PlanNode("Union", names, ["columns matched by name, input after input"], Figures(rows=rows), sources)
        ]
    shuffle = PlanNode(
        "Shuffle",
        f"{method.name}: {method.reason}",
        [_cut(layout), *operation.why(inputs)],
        Figures(
            rows=round(sum(one.size.rows for one in inputs)),
            bytes=round(sum(one.size.rows * (one.size.row_bytes + operation.key_bytes) for one in inputs)),
            spilled=0 if method.name == OBJECTS else decided.spilled,
        ),
        sources,
    )
    steps = operation.steps([one.size for one in inputs], layout.partitions)
    done = PlanNode(operation.step, operation.describe(), steps, Figures(rows=round(size.rows)), [shuffle])
    within = [key.column for key in output.sort_within]
    why = [
        _files(job, size, layout),
        f"columns: {some(schema.names, COLUMNS_SHOWN)}",
        *(f"computes {name} = {text}" for name, text in sorted(output.compute.items())[:COLUMNS_SHOWN]),
        f"keeps rows where {output.filter}; how many, nobody knows before" if output.filter else "",
        f"in folders by {', '.join(output.partition_by)}" if output.partition_by else "",
        f"sorted within each file by {', '.join(within)}" if within else "",
        f"row groups of up to {decided.row_group_rows:,} rows" if output.format == "Parquet" else "",
        f"dictionaries for {some(dictionary, COLUMNS_SHOWN)}" if dictionary and output.format == "Parquet" else "",
    ]
    return PlanNode(
        "Write",
        f"{counted(layout.partitions, 'file')} to {output.path}, {output.format}, {output.compression or 'None'}",
        [line for line in why if line],
        Figures(rows=round(size.rows), bytes=round(size.stored), files=layout.partitions),
        [done],
    )


def _files(job: Job, size: Size, layout: Layout) -> str:
    if job.output.partitions:
        few = "; some will be empty: there are fewer rows" if job.output.partitions > max(round(size.rows), 1) else ""
        return f"as many as output.partitions asks for{few}"
    share = readable(size.stored / layout.partitions)
    if size.stored / layout.partitions < job.output.target_bytes / 2 and layout.partitions > 1:
        return f"of about {share} each, so that several workers have something to do"
    return f"of about {share} each, for output.targetPartitionSize: {readable(job.output.target_bytes)}"


def _cut(layout: Layout) -> str:
    groups = f"written in {counted(layout.groups, 'lease')}"
    if layout.buckets > layout.partitions:
        return f"each file in {layout.buckets // layout.partitions:,} parts, so that each fits in memory; {groups}"
    if layout.buckets < layout.partitions:
        return f"{layout.partitions:,} files travel in {layout.buckets:,} buckets; {groups}"
    return groups


def _source(one: PlannedInput, named: bool) -> PlanNode:
    """Read, what is computed, and the filter above them where there is one."""
    source = one.source
    kept = {group.file for group in one.row_groups}
    every = sum(len(file.row_groups) for file in one.files)
    plain = [name for name in one.kept.names if name not in source.compute]
    columns = f"{len(plain)} of {one.columns} columns: " if one.columns > len(plain) else "columns: "
    extra = [name for name in one.extra.names if name not in source.compute]
    also = f"; for the filter also {some(extra, COLUMNS_SHOWN)}" if extra else ""
    made = [name for name in one.read if name not in plain and name not in extra]
    also += f"; to compute others {some(made, COLUMNS_SHOWN)}" if made else ""
    paths = some(source.paths, PATHS_SHOWN)
    read = PlanNode(
        "Read",
        f"{source.name}: {paths}" if named and source.name else paths,
        [
            f"{counted(len(one.files), 'file')}, {readable(sum(file.info.size for file in one.files))}, {_kind(one)}",
            f"{columns}{some(plain, COLUMNS_SHOWN)}{also}",
        ],
        Figures(
            rows=one.rows,
            bytes=sum(one.files[group.file].row_groups[group.group].bytes for group in one.row_groups),
            files=len(kept),
        ),
    )
    if one.computed:
        said = [f"{name} = {source.compute[name]}" for name in one.computed[:COLUMNS_SHOWN]]
        read = PlanNode("Compute", some(one.computed, COLUMNS_SHOWN), said, Figures(rows=one.rows), [read])
    if not source.filter:
        return read
    left_out = every - len(one.row_groups)
    found = f"statistics leave out {left_out:,} of {counted(every, 'row group')}" if left_out else ""
    if found and len(kept) < len(one.files):
        found += f", and {len(one.files) - len(kept):,} of {counted(len(one.files), 'file')} as a whole"
    share = f"{one.look.selectivity:.0%} of the rows in the others pass, as far as a sample shows" if one.rows else ""
    why = [line for line in (found, share) if line]
    return PlanNode("Filter", source.filter, why, Figures(rows=round(one.passing)), [read])


def _mapped(one: PlannedInput, before: PlanNode) -> PlanNode:
    """The function that the rows go through, where there is one, above what it is given."""
    made = one.mapped
    if made is None:
        return before
    needed = [name for name in made.result.names if one.schema.get_field_index(name) >= 0]
    unused = len(made.result) - len(needed)
    why = [
        f"is given {made.shape}, up to {counted(made.rows, 'row')} of a file at a time, in a process of its own",
        f"columns: {some(needed, COLUMNS_SHOWN)}{f'; {unused:,} more are not needed' if unused else ''}",
    ]
    if made.sample.given:
        became = f"{made.sample.given:,} rows of a sample became {made.sample.rows.num_rows:,}"
        why.append(became if one.source.map_schema is not None else f"{became}, with these columns")
    return PlanNode("Map", one.source.map, why, Figures(rows=round(one.size.rows)), [before])


def _kind(one: PlannedInput) -> str:
    """The format; how many parts the files can be read in, where that is what keeps workers idle."""
    exact = all(file.counted for file in one.files)
    about = "" if exact else "; rows are an estimate by the first ones"
    name = one.source.reader or one.format
    return f"{name}, {counted(len(one.row_groups), 'part')}{about}"
