"""The plan lease of a rechunk: reads the store's metadata, decides everything, refuses what cannot be done.

It only reads, and the same input and job give the same plan. It lists chunks (`looking.py`) but does not open them.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Input, Job, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanSummary
from shuffle_protocol.units import some
from shuffle_worker.arrays import chunking, grid, layout
from shuffle_worker.arrays.coding import Coding, element_bytes, fills_differ
from shuffle_worker.arrays.commit import check_output
from shuffle_worker.arrays.drafts import Drafted, FunctionMemory, memory_needed
from shuffle_worker.arrays.explain import tree_of
from shuffle_worker.arrays.grid import Axis
from shuffle_worker.arrays.halos import ArrayCall, Halo, check_overlap, check_room, function_plan
from shuffle_worker.arrays.hierarchy import read_hierarchy
from shuffle_worker.arrays.looking import Look, looked_at
from shuffle_worker.arrays.metadata import Target, store_documents, target_document
from shuffle_worker.arrays.notes import fill_notes, notes_of
from shuffle_worker.arrays.persist import with_fingerprint
from shuffle_worker.arrays.reader import STEP_BYTES
from shuffle_worker.arrays.record import ArrayPlan, Called, RechunkPlan, Summaries
from shuffle_worker.arrays.retyping import packing_note, retyped
from shuffle_worker.arrays.source import ArraySource, Hierarchy
from shuffle_worker.arrays.store import Codecs
from shuffle_worker.output.claim import notes_on
from shuffle_worker.plan.method import OBJECTS, choose
from shuffle_worker.plan.sizing import scratch_needed
from shuffle_worker.storage import Storage, urls

NAMED = 20
"""The most arrays that an error lists."""


def make_plan(
    job: Job, budgets: Budgets, storage_in: Storage, storage_out: Storage, scratch: Path | None = None
) -> RechunkPlan:
    """budgets: those of each worker. scratch: where code of the user's is unpacked. Raises JobError if the job cannot
    be carried out as written."""
    source, asked = _input(job), job.operation
    assert isinstance(asked, Rechunk)
    folder = source.paths[0].rstrip("/")
    check_apart(folder, job.output.path)
    others = check_output(job, storage_out)
    found = read_hierarchy(storage_in, folder)
    arrays = chosen(found, asked)
    check_dimensions(asked, arrays)
    zarr_format = asked.zarr_format or found.format
    listed = looked_at(storage_in, folder, arrays)
    lengths = {one.path: [pick.length for pick in _picks(one, asked)] for one in arrays}
    functions = function_plan(job, arrays, lengths, budgets, scratch)
    drafts = [
        _draft(one, asked, zarr_format, look, budgets, functions.calls.get(one.path))
        for one, look in zip(arrays, listed, strict=True)
    ]
    check_selection(drafts, asked)
    for draft in drafts:
        check_room(draft.plan, functions.free, asked.function)

    plans = [draft.plan for draft in drafts]
    decoded = [_decoded(plan) for plan in plans]
    total = sum(decoded)
    largest = max((plan.item_bytes for plan in plans), default=0)
    needed = memory_needed(
        drafts,
        budgets,
        FunctionMemory(job.functions.memory, max(budgets.functions - functions.free, 0) if asked.function else 0),
    )
    sizes = layout.sizes_for(total, largest, job.workers, budgets.working)
    plans = [msgspec.structs.replace(plan, axes=_cut_axes(plan, sizes, budgets)) for plan in plans]
    halo_bytes = sum(grid.frame_elements(plan.axes) * plan.itemsize - _decoded(plan) for plan in plans if plan.called)
    stored = [look.size / max(size, 1) if look.present is not None else 1.0 for look, size in _with(listed, plans)]
    cut = layout.cut_job(plans, stored, sizes, job.workers)
    buckets, groups = cut.buckets, cut.groups
    group_items = [sum(b.items for b in buckets[a:b]) for a, b in itertools.pairwise(groups)]
    moved = sum(decoded) + halo_bytes
    method = choose(job, len(cut.splits), len(groups) - 1, moved)
    # With object storage a write reads the shards of every split, so they must all be there.
    waves = len(set(cut.split_wave)) if method.name != OBJECTS else 1
    summary = PlanSummary(
        fingerprint="",
        split_bytes=[split.bytes for split in cut.splits],
        group_partitions=group_items or [0],
        partitions=sum(group_items),
        input_files=sum(look.files for look in listed),
        input_bytes=sum(look.size for look in listed),
        input_rows=sum(split.elements for split in cut.splits),
        memory_needed=needed,
        scratch_needed=0 if method.name == OBJECTS else scratch_needed(moved, job.workers, budgets),
        method=method.name,
        method_reason=method.reason,
        split_wave=cut.split_wave if waves > 1 else [],
        group_wave=cut.group_wave if waves > 1 else [],
        notes=[],
    )
    documents = store_documents(
        zarr_format,
        _kept_groups(found, arrays, asked),
        [(d.source.path, json.loads(d.document), d.attributes) for d in drafts],
    )
    plan = RechunkPlan(
        job=job,
        arrays=plans,
        splits=cut.splits,
        buckets=buckets,
        groups=groups if len(groups) > 1 else [0, 0],
        documents=documents,
        summary=summary,
        facts=Summaries(
            parts=cut.parts,
            waves=waves,
            balance=cut.balance,
            moved_bytes=moved,
            piece_bytes=sizes.piece,
            requests=found.requests,
            halo_bytes=halo_bytes,
        ),
        zarr_format=zarr_format,
        code=functions.code,
    )
    notes = [*notes_on(job, others), *found.notes, *(note for draft in drafts for note in draft.notes)]
    notes += [*fill_notes(plans, zarr_format), *(note for array in plans for note in notes_of(array))]
    told = msgspec.structs.replace(summary, tree=tree_of(plan), notes=notes)
    return with_fingerprint(msgspec.structs.replace(plan, summary=told))


# -- what the job asks for -------------------------------------------------------------------------------------------


def _input(job: Job) -> Input:
    if len(job.inputs) != 1:
        raise InvalidSpec(f"inputs: {len(job.inputs)} are given; rechunk takes one")
    source = job.inputs[0]
    if len(source.paths) != 1 or urls.is_glob(source.paths[0]):
        raise InvalidSpec("inputs[0].path: rechunk takes one Zarr store, not several and no pattern")
    return source


def check_apart(source: str, output: str) -> None:
    """Refuse an output inside the input, or an input inside the output."""
    one, other = _place(source), _place(output)
    if one == other:
        raise InvalidSpec(f"output.path: {output} is the input itself; write to another folder")
    if other.startswith(one + "/") or one.startswith(other + "/"):
        raise InvalidSpec(f"output.path: {output} and the input {source} lie one inside the other; write elsewhere")


def _place(path: str) -> str:
    path = path.rstrip("/")
    if urls.scheme_of(path) == "file":
        return urls.local_path(path or "/")
    return f"{urls.scheme_of(path)}://{path.partition('://')[2]}"


def chosen(found: Hierarchy, asked: Rechunk) -> list[ArraySource]:
    """The arrays of the job: those of `variables` with their coordinates, or all."""
    if asked.variables is None:
        return found.arrays
    known = {array.path: array for array in found.arrays}
    kept: dict[str, ArraySource] = {}
    for at, name in enumerate(asked.variables):
        path = name.strip("/")
        if path not in known:
            near = difflib.get_close_matches(path, list(known), n=1, cutoff=0.5)
            names = some(sorted(known), NAMED) or "none: the store is one array, leave variables out"
            hint = f"did you mean {near[0]!r}?" if near and path else f"arrays are {names}"
            raise InvalidSpec(f"operation.rechunk.variables[{at}]: the store has no array {name!r}; {hint}")
        kept[path] = known[path]
        folder = path.rpartition("/")[0]
        words = str(known[path].attributes.get("coordinates", "")).split()
        for other in [*known[path].dims, *words]:
            beside = f"{folder}/{other}".lstrip("/")
            if beside in known:
                kept[beside] = known[beside]
    return [array for array in found.arrays if array.path in kept]


def check_dimensions(asked: Rechunk, arrays: Sequence[ArraySource]) -> None:
    dims = list(dict.fromkeys(name for array in arrays for name in array.names if name))
    alone = len(arrays) == 1 or (asked.variables is not None and len(asked.variables) == 1)
    positions = max((len(array.shape) for array in arrays), default=0) if alone else 0
    chunking.check_names(list(asked.chunks), "chunks", dims, positions)
    chunking.check_names(list(asked.shards), "shards", dims, positions)
    chunking.check_names(list(asked.select), "select", dims, positions)
    check_overlap(asked, dims, positions)


def check_selection(drafts: Sequence[Drafted], asked: Rechunk) -> None:
    """Refuse a selection of a dimension that has different lengths in different arrays."""
    for name in asked.select:
        lengths = {
            draft.source.shape[at]: draft.source.path
            for draft in drafts
            for at, dim in enumerate(draft.source.dims)
            if dim == name
        }
        if len(lengths) > 1:
            (one, here), (other, there) = list(lengths.items())[:2]
            raise InvalidSpec(
                f"operation.rechunk.select.{name}: has {one:,} positions in {here} and {other:,} in {there}; select in "
                "one of them at a time (variables)"
            )


def _kept_groups(
    found: Hierarchy, arrays: Sequence[ArraySource], asked: Rechunk
) -> list[tuple[str, dict[str, object]]]:
    if asked.variables is None:
        return found.groups
    above = {path[:at] for path in (array.path + "/" for array in arrays) for at, c in enumerate(path) if c == "/"}
    return [(path, attributes) for path, attributes in found.groups if path == "" or path in above]


# -- one array -------------------------------------------------------------------------------------------------------


def _picks(source: ArraySource, asked: Rechunk) -> list[chunking.Selection]:
    """What is selected of each dimension."""
    picks: list[chunking.Selection] = []
    for at, (dim, size) in enumerate(zip(source.dims, source.shape, strict=True)):
        text = asked.select.get(dim, asked.select.get(str(at)))
        field = f"operation.rechunk.select.{dim}"
        picks.append(chunking.selection(text, size, field) if text is not None else chunking.Selection(0, 1, size))
    return picks


def _draft(
    source: ArraySource, asked: Rechunk, zarr_format: int, look: Look, budgets: Budgets, calls: ArrayCall | None
) -> Drafted:
    where = source.path or "the array"
    dims = source.dims
    picks = _picks(source, asked)
    shape = tuple(pick.length for pick in picks)
    dtype = source.metadata.dtype.to_native_dtype()
    itemsize = element_bytes(dtype)
    named = any(dim in asked.chunks or str(at) in asked.chunks for at, dim in enumerate(dims))
    sharded = any(dim in asked.shards or str(at) in asked.shards for at, dim in enumerate(dims))
    chunks = chunking.chunk_lengths(asked.chunks, dims, shape, source.chunks, itemsize, asked.target_bytes)
    shards = chunking.shard_lengths(asked.shards, dims, shape, chunks, where)
    if not named and not sharded and source.shards is not None and zarr_format == 3:
        chunks, shards = source.chunks, source.shards  # an array that keeps its chunks keeps its shards
    elif not named:
        chunks = source.chunks if not sharded else chunks
    returned = calls is not None and calls.returned != dtype.newbyteorder("=")
    result = calls.returned if calls is not None and returned else dtype
    target = Target(shape, chunks, shards, zarr_format, asked.compression, result.itemsize if returned else 0)
    described = target_document(source, target, (lambda one: retyped(one, source, result)) if returned else None)
    inner, unit, files = _read_unit(source, budgets)
    stored = shards if shards is not None else chunks
    halos = calls.halos if calls is not None else [Halo()] * len(shape)
    axes = [
        Axis(size, pick.start, pick.step, pick.length, chunk, item, before=low, after=high, boundary=edge)
        for size, pick, chunk, item, (low, high, edge) in zip(source.shape, picks, unit, stored, halos, strict=True)
    ]
    codings = [Coding(json.dumps(one).encode(), Codecs()) for one in (source.document, described.document)]
    plan = ArrayPlan(
        path=source.path,
        source=json.dumps(source.document).encode(),
        target=json.dumps(described.document).encode(),
        dims=dims,
        axes=axes,
        itemsize=itemsize,
        item_bytes=math.prod(stored) * (result.itemsize if calls is not None else itemsize),
        file_shape=list(files),
        inner=inner,
        present=look.present,
        tags=look.tags,
        moved=calls is not None or tuple(stored) != (source.shards or source.chunks) or shape != source.shape,
        refilled=calls is None and fills_differ(*codings),
        called=None if calls is None else Called(calls.given.str, calls.returned.str, list(chunks), calls.trim),
    )
    plain, plain_target = (coding.decodes_in_place for coding in codings)
    notes = [note.format(asked.function) if returned else note for note in described.notes]
    notes += packing_note(source) if calls is not None else []
    return Drafted(source, target, plan.target, described.attributes, plan, look, plain, plain_target, tuple(notes))


def _read_unit(source: ArraySource, budgets: Budgets) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
    """Whether shards are read in part; the lengths that are read as one; the lengths of one file."""
    files = source.shards or source.chunks
    if source.shards is None:
        return False, files, files
    size = math.prod(files) * element_bytes(source.metadata.dtype.to_native_dtype())
    whole = Coding(json.dumps(source.document).encode(), Codecs())
    inner = whole.sharding is not None and 3 * size > budgets.working - 2 * STEP_BYTES
    return inner, source.chunks if inner else files, files


def _decoded(plan: ArrayPlan) -> int:
    return math.prod(axis.length for axis in plan.axes) * plan.itemsize


def _with(listed: Sequence[Look], plans: Sequence[ArrayPlan]) -> list[tuple[Look, int]]:
    """Each array's listing, with the decoded bytes of the whole input array."""
    return [
        (look, math.prod(axis.size for axis in plan.axes) * plan.itemsize)
        for look, plan in zip(listed, plans, strict=True)
    ]


def _cut_axes(plan: ArrayPlan, sizes: layout.LayoutSizes, budgets: Budgets) -> list[Axis]:
    """A frame, its block, what the function returns for it and the object that it goes to are in memory together."""
    if plan.called is not None:
        sizes = sizes._replace(box=min(sizes.box, budgets.working // 5))
    return layout.cut_axes(plan.axes, plan.itemsize, sizes)
