"""The plan as people know it from databases: from what is written down to what is read, with estimates and reasons.

Made by the planner while it still knows what it left out. Part of the plan's summary, so that whoever coordinates can
show it, before a run and, with the figures of what was done, after it. Bounded: names beyond a few are counted.

    Write <- Sort <- Shuffle <- Filter <- Read
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.method import OBJECTS, Method
from shuffle_worker.plan.planned import Planned, Size
from shuffle_worker.plan.planning import Planning
from shuffle_worker.protocol.messages import Figures, Job, PlanNode
from shuffle_worker.units import readable

COLUMNS_SHOWN = 12
PATHS_SHOWN = 3


def tree_of(
    job: Job,
    operation: Planning,
    inputs: Sequence[Planned],
    schema: pa.Schema,
    size: Size,
    layout: Layout,
    method: Method,
    spilled: int,
    row_group_rows: int,
    dictionary: Sequence[str],
) -> PlanNode:
    output = job.output
    sources = [_source(one, len(inputs) > 1) for one in inputs]
    shuffle = PlanNode(
        "Shuffle",
        f"{method.name}: {method.reason}",
        [_cut(layout), *operation.why(inputs)],
        Figures(
            rows=round(sum(one.size.rows for one in inputs)),
            bytes=round(sum(one.size.rows * one.size.row_bytes for one in inputs)),
            spilled=0 if method.name == OBJECTS else spilled,
        ),
        sources,
    )
    steps = operation.steps([one.size for one in inputs], layout.partitions)
    done = PlanNode(operation.step, operation.describe(), steps, Figures(rows=round(size.rows)), [shuffle])
    within = [key.column for key in output.sort_within]
    why = [
        _files(job, size, layout),
        f"columns: {_some(schema.names)}",
        f"in folders by {', '.join(output.partition_by)}" if output.partition_by else "",
        f"sorted within each file by {', '.join(within)}" if within else "",
        f"row groups of up to {row_group_rows:,} rows" if output.format == "Parquet" else "",
        f"dictionaries for {_some(dictionary)}" if dictionary and output.format == "Parquet" else "",
    ]
    return PlanNode(
        "Write",
        f"{_count(layout.partitions, 'file')} to {output.path}, {output.format}, {output.compression or 'None'}",
        [line for line in why if line],
        Figures(rows=round(size.rows), bytes=round(size.stored), files=layout.partitions),
        [done],
    )


def _files(job: Job, size: Size, layout: Layout) -> str:
    if job.output.partitions:
        few = (
            "; some will be empty, for there are fewer rows" if job.output.partitions > max(round(size.rows), 1) else ""
        )
        return f"as many as output.partitions asks for{few}"
    share = readable(size.stored / layout.partitions)
    if size.stored / layout.partitions < job.output.target_bytes / 2 and layout.partitions > 1:
        return f"of about {share} each, so that several workers have something to do"
    return f"of about {share} each, for output.targetPartitionSize: {readable(job.output.target_bytes)}"


def _cut(layout: Layout) -> str:
    groups = f"written in {_count(layout.groups, 'lease')}"
    if layout.buckets > layout.partitions:
        return f"each file in {layout.buckets // layout.partitions:,} parts, so that each fits in memory; {groups}"
    if layout.buckets < layout.partitions:
        return f"{layout.partitions:,} files travel in {layout.buckets:,} buckets; {groups}"
    return groups


def _source(one: Planned, named: bool) -> PlanNode:
    """Read, and the filter above it where there is one."""
    source = one.source
    kept = {group.file for group in one.groups}
    every = sum(len(file.groups) for file in one.files)
    columns = f"{len(one.schema)} of {one.columns} columns: " if one.columns > len(one.schema) else "columns: "
    also = f"; for the filter also {_some(one.extra.names)}" if one.extra.names else ""
    paths = _some(source.paths, PATHS_SHOWN)
    read = PlanNode(
        "Read",
        f"{source.name}: {paths}" if named and source.name else paths,
        [
            f"{_count(len(one.files), 'file')}, {readable(sum(file.info.size for file in one.files))}, {_kind(one)}",
            f"{columns}{_some(one.schema.names)}{also}",
        ],
        Figures(
            rows=one.rows,
            bytes=sum(one.files[group.file].groups[group.group].bytes for group in one.groups),
            files=len(kept),
        ),
    )
    if not source.filter:
        return read
    left_out = every - len(one.groups)
    found = f"statistics leave out {left_out:,} of {_count(every, 'row group')}" if left_out else ""
    if found and len(kept) < len(one.files):
        found += f", and {len(one.files) - len(kept):,} of {_count(len(one.files), 'file')} as a whole"
    share = f"{one.look.selectivity:.0%} of the rows in the others pass, as far as a sample shows" if one.rows else ""
    why = [line for line in (found, share) if line]
    return PlanNode("Filter", source.filter, why, Figures(rows=round(one.size.rows)), [read])


def _kind(one: Planned) -> str:
    """The format; how many parts the files can be read in, where that is what keeps workers idle."""
    counted = all(file.counted for file in one.files)
    about = "" if counted else "; rows are an estimate by the first ones"
    name = one.source.reader or one.format
    return f"{name}, {_count(len(one.groups), 'part')}{about}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _some(names: Sequence[str], most: int = COLUMNS_SHOWN) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
