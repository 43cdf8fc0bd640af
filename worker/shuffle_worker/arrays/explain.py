"""What a rechunk would do, as data and as text: the answer of `shuffle explain`. Made from a finished plan."""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct, field

from shuffle_worker.arrays.grid import Axis, shared_cut
from shuffle_worker.arrays.record import ArrayPlan, Plan
from shuffle_worker.memory import Budgets
from shuffle_worker.protocol.messages import Rechunk
from shuffle_worker.units import readable

ARRAYS_SHOWN = 12
WASTE = 1.5
"""Elements read for every element kept, from which it is worth a word."""


class ExplainedArray(Struct, frozen=True):
    """bytes: decoded, of the output. objects: of the output, chunks or shards. moved: its chunks change."""

    path: str
    type: str
    dims: list[str]
    shape: list[int]
    from_chunks: list[int]
    chunks: list[int]
    shards: list[int] | None
    bytes: int
    objects: int
    moved: bool


class ExplainedWork(Struct, frozen=True):
    """Bytes. pieces: of the input, read one at a time. parts: those of arrays that exchange nothing with each other;
    waves: parts gathered, each written as soon as it is read. balance: the most bytes that a worker writes over the
    mean. store: a worker's memory for what waits to be written; scratch: what all may spill."""

    workers: int
    splits: int
    pieces: int
    groups: int
    parts: int
    waves: int
    balance: float
    method: str
    method_reason: str
    moved: int
    memory: int
    memory_needed: int
    store: int
    scratch: int


class Explanation(Struct, frozen=True):
    job: str
    input: str
    files: int
    bytes: int
    arrays: list[ExplainedArray]
    output: str
    zarr_format: int
    compression: str
    work: ExplainedWork
    notes: list[str] = field(default_factory=list)


def explain(plan: Plan, budgets: Budgets) -> Explanation:
    """budgets: of each worker."""
    job, summary, facts = plan.job, plan.summary, plan.facts
    assert isinstance(job.operation, Rechunk)
    return Explanation(
        job=job.name,
        input=job.inputs[0].paths[0],
        files=summary.input_files,
        bytes=summary.input_bytes,
        arrays=[_array(array) for array in plan.arrays],
        output=job.output.path,
        zarr_format=plan.zarr_format,
        compression=job.operation.compression,
        work=ExplainedWork(
            workers=job.workers,
            splits=len(plan.splits),
            pieces=sum(run.stop - run.first for split in plan.splits for run in split.runs),
            groups=len(plan.groups) - 1,
            parts=facts.parts,
            waves=facts.waves,
            balance=round(facts.balance, 3),
            method=summary.method,
            method_reason=summary.method_reason,
            moved=facts.moved_bytes,
            memory=budgets.limit,
            memory_needed=summary.memory_needed,
            store=budgets.store,
            scratch=summary.scratch_needed,
        ),
        notes=[note for array in plan.arrays for note in notes_of(array)],
    )


def _array(array: ArrayPlan) -> ExplainedArray:
    source, target = msgspec.json.decode(array.source), msgspec.json.decode(array.target)
    chunks, shards = _lengths(target)
    return ExplainedArray(
        path=array.path,
        type=_type(target),
        dims=array.dims,
        shape=[axis.length for axis in array.axes],
        from_chunks=_lengths(source)[0],
        chunks=chunks,
        shards=shards,
        bytes=math.prod(axis.length for axis in array.axes) * array.itemsize,
        objects=math.prod(axis.items for axis in array.axes),
        moved=array.moved,
    )


def _lengths(document: dict[str, object]) -> tuple[list[int], list[int] | None]:
    """Chunks, and shards where there are shards, of a document of either format."""
    found = msgspec.convert(document, _Document)
    if found.chunks is not None:
        return found.chunks, None
    assert found.chunk_grid is not None
    stored = found.chunk_grid.configuration.chunk_shape
    first = found.codecs[0]
    if first.name == "sharding_indexed" and first.configuration is not None:
        return first.configuration.chunk_shape, stored
    return stored, None


class _Shape(Struct):
    chunk_shape: list[int] = field(default_factory=list)


class _Grid(Struct):
    configuration: _Shape


class _Codec(Struct):
    name: str
    configuration: _Shape | None = None


class _Document(Struct):
    chunks: list[int] | None = None
    chunk_grid: _Grid | None = None
    codecs: list[_Codec] = field(default_factory=list)


def _type(document: dict[str, object]) -> str:
    found = document.get("data_type", document.get("dtype"))
    return found if isinstance(found, str) else str(found["name"]) if isinstance(found, dict) else "structured"


def notes_of(array: ArrayPlan) -> list[str]:
    """What of an array costs more than it needs to, and what would not."""
    out: list[str] = []
    for dim, axis in zip(array.dims, array.axes, strict=True):
        where = f"{array.path}: {dim}" if array.path else dim
        out += _waste(where, axis)
        if array.moved:
            out += _apart(where, axis)
    return out


def _waste(where: str, axis: Axis) -> list[str]:
    """Whole chunks are decoded of which a selection keeps little."""
    if not axis.length:
        return []
    chunks = len({axis.chunk_of(at) for at in _probes(axis)})
    read = min(chunks * axis.chunk, axis.size)
    if read < WASTE * axis.length:
        return []
    text = f"{where}: {read / axis.length:.1f} times as much is read as is kept, for whole chunks of {axis.chunk:,} are"
    if axis.step == 1:
        start = axis.start // axis.chunk * axis.chunk
        stop = -(-(axis.start + axis.length) // axis.chunk) * axis.chunk
        return [f"{text}; {start}:{min(stop, axis.size)} would waste nothing"]
    return [f"{text}; every position of a chunk is read for every {axis.step}th one"]


def _probes(axis: Axis) -> range:
    """Positions that touch every chunk which is read."""
    return range(0, axis.length, max(axis.chunk // axis.step, 1)) if axis.length < 1 << 20 else range(0)


def _apart(where: str, axis: Axis) -> list[str]:
    """Lengths that share no boundary make everything wait for everything along the dimension."""
    if axis.step != 1 or axis.item >= axis.length or axis.chunk >= axis.size:
        return []
    if shared_cut(axis) <= 4 * max(axis.item, axis.chunk):
        return []
    if axis.start % axis.chunk:
        return [
            f"{where}: the selection begins inside a chunk of {axis.chunk:,}, so that no output chunk begins where an "
            f"input chunk does; from {axis.start // axis.chunk * axis.chunk} on it would be cheaper"
        ]
    if axis.item >= axis.chunk:
        near = max(round(axis.item / axis.chunk), 1) * axis.chunk
    else:
        near = next(size for size in range(axis.item, 0, -1) if axis.chunk % size == 0)
    parts = -(-axis.length // max(near, axis.chunk))
    return [
        f"{where}: chunks of {axis.chunk:,} and {axis.item:,} share few boundaries, so that input chunks are cut and "
        f"much is exchanged; {near:,} would make {parts:,} independent parts"
    ]


def render_text(found: Explanation) -> str:
    """Plain text, one subject a paragraph."""
    work = found.work
    pieces = f"{_count(work.pieces, 'piece')} ({_count(work.splits, 'split')})"
    moved = sum(1 for array in found.arrays if array.moved)
    lines = [f"{found.job}: rechunk {_count(moved, 'array')} of {len(found.arrays):,}", ""]
    lines += _part("input", [found.input, f"{_count(found.files, 'chunk file')}, {readable(found.bytes)} as stored"])
    shown = [_line(array) for array in found.arrays[:ARRAYS_SHOWN]]
    more = len(found.arrays) - ARRAYS_SHOWN
    lines += _part("arrays", [*shown, f"and {more:,} more" if more > 0 else ""])
    spill = (
        "nothing is expected to be spilled to disk"
        if not work.scratch
        else f"up to {readable(work.scratch)} spilled to disk, {readable(work.scratch / max(work.workers, 1))} a worker"
    )
    lines += _part(
        "work",
        [
            f"{readable(work.moved)} in memory, read in {pieces}, "
            f"written in {_count(work.groups, 'group')} by {_count(work.workers, 'worker')}",
            f"{_count(work.parts, 'independent part')}"
            + (f", gathered to {work.waves:,} that are written one after the other" if work.waves > 1 else ""),
            f"balance: the worker with most writes {work.balance:.2f} times the mean",
            f"method: {work.method} ({work.method_reason})",
            f"memory: {readable(work.memory)} for each worker, {readable(work.memory_needed)} is the least; "
            f"{readable(work.store)} of it hold what waits to be written",
            spill,
            "every input chunk is read once, every output chunk written once",
        ],
    )
    kept = "codecs as in the input" if found.compression == "Keep" else f"compression: {found.compression}"
    lines += _part("output", [found.output, f"Zarr format {found.zarr_format}, {kept}"])
    lines += _part("notes", found.notes)
    return "\n".join(lines).rstrip() + "\n"


def _line(array: ExplainedArray) -> str:
    name = array.path or "(the store)"
    what = f"{name}: {array.type} {_shape(array.shape)}"
    if not array.moved:
        return f"{what}, chunks {_shape(array.chunks)} kept"
    shards = f" in shards {_shape(array.shards)}" if array.shards else ""
    return (
        f"{what}, chunks {_shape(array.from_chunks)} -> {_shape(array.chunks)}{shards}: "
        f"{_count(array.objects, 'file')}, {readable(array.bytes)}"
    )


def _shape(lengths: list[int]) -> str:
    return f"({', '.join(f'{length:,}' for length in lengths)})"


def _part(title: str, lines: list[str]) -> list[str]:
    kept = [line for line in lines if line]
    if not kept:
        return []
    return [f"{title:<8}{kept[0]}", *(f"{'':8}{line}" for line in kept[1:]), ""]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
