"""What a rechunk would do, as data: the answer of `shuffle explain --json`, made from a finished plan.

People see its `tree`, which is part of the plan's summary.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec import Struct, field

from shuffle_protocol.jobs import Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import Figures, PlanNode
from shuffle_protocol.units import counted, readable, some
from shuffle_worker.arrays.grid import Axis
from shuffle_worker.arrays.record import ArrayPlan, RechunkPlan
from shuffle_worker.plan.seconds import expected_seconds

ARRAYS_SHOWN = 12
CALLED_SHOWN = 6


class ExplainedArray(Struct, frozen=True):
    """One array in the answer of `explain`."""

    path: str
    type: str
    dims: list[str]
    shape: list[int]
    from_chunks: list[int]
    chunks: list[int]
    shards: list[int] | None
    bytes: int
    """Decoded bytes in the output."""
    objects: int
    """Objects (chunks or shards) in the output."""
    moved: bool
    """Whether its chunks change."""


class ExplainedRechunk(Struct, frozen=True):
    """The work. Sizes are in bytes."""

    workers: int
    splits: int
    pieces: int
    """Pieces of the input; each is read at once."""
    groups: int
    parts: int
    """Parts of arrays that exchange nothing with each other."""
    waves: int
    """Waves of parts; each is written as soon as it is read."""
    balance: float
    """The most bytes that one worker writes, divided by the mean."""
    method: str
    method_reason: str
    moved: int
    halo: int
    """What is sent more than once, because halos overlap; in `moved`."""
    memory: int
    memory_needed: int
    store: int
    """A worker's memory for shards that wait to be written."""
    scratch: int
    """Bytes that all workers together may spill."""


class RechunkExplanation(Struct, frozen=True):
    job: str
    input: str
    files: int
    bytes: int
    arrays: list[ExplainedArray]
    output: str
    zarr_format: int
    compression: str
    work: ExplainedRechunk
    seconds: float
    tree: PlanNode | None = None
    notes: list[str] = field(default_factory=list)


def explain(plan: RechunkPlan, budgets: Budgets) -> RechunkExplanation:
    """budgets: those of each worker."""
    job, summary, facts = plan.job, plan.summary, plan.facts
    assert isinstance(job.operation, Rechunk)
    return RechunkExplanation(
        job=job.name,
        input=job.inputs[0].paths[0],
        files=summary.input_files,
        bytes=summary.input_bytes,
        arrays=[_array(array) for array in plan.arrays],
        output=job.output.path,
        zarr_format=plan.zarr_format,
        compression=job.operation.compression,
        work=ExplainedRechunk(
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
            halo=facts.halo_bytes,
            memory=budgets.limit,
            memory_needed=summary.memory_needed,
            store=budgets.store,
            scratch=summary.scratch_needed,
        ),
        seconds=expected_seconds(facts.moved_bytes, 0, workers=job.workers, groups=job.workers, in_order=False).total,
        tree=summary.tree,
        notes=list(summary.notes),
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
    """The chunk lengths and, if there are shards, the shard lengths in a document of either format."""
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


def tree_of(plan: RechunkPlan) -> PlanNode:
    """The plan as a tree, for `explain` and the status."""
    job, facts, summary = plan.job, plan.facts, plan.summary
    assert isinstance(job.operation, Rechunk)
    arrays = [_array(array) for array in plan.arrays]
    moved = [array for array in arrays if array.moved]
    kept = len(arrays) - len(moved)
    pieces = sum(run.stop - run.first for split in plan.splits for run in split.runs)
    elements = summary.input_rows
    read = PlanNode(
        "Read",
        job.inputs[0].paths[0],
        [
            f"{counted(summary.input_files, 'chunk file')}, {readable(summary.input_bytes)}; each is read once",
            f"{counted(pieces, 'piece')} of up to {readable(facts.piece_bytes)} or one chunk",
            f"the documents of {counted(len(arrays), 'array')}, each its own: "
            f"{counted(facts.requests, 'request')} while planning",
        ],
        Figures(rows=elements, bytes=summary.input_bytes, files=summary.input_files),
    )
    together = f", in {facts.waves:,} waves that are written one after the other" if facts.waves > 1 else ""
    shuffle = PlanNode(
        "Shuffle",
        f"{summary.method}: {summary.method_reason}",
        [
            f"{counted(facts.parts, 'part')} of arrays that exchange nothing with each other{together}",
            f"written in {counted(len(plan.groups) - 1, 'lease')}; the worker with most to write has "
            f"{facts.balance:.2f} times the mean",
        ],
        Figures(rows=elements, bytes=facts.moved_bytes, spilled=summary.scratch_needed),
        [read],
    )
    lines = [_line(array) for array in moved[:ARRAYS_SHOWN]]
    if len(moved) > ARRAYS_SHOWN:
        lines.append(f"and {len(moved) - ARRAYS_SHOWN:,} more")
    if kept:
        lines.append(f"{counted(kept, 'other array')} as {'it is' if kept == 1 else 'they are'}")
    lines += _calls(plan)
    rechunk = PlanNode("Rechunk", counted(len(moved), "array"), lines, Figures(rows=elements), [shuffle])
    compression = job.operation.compression
    codecs = "codecs as in the input" if compression == "Keep" else f"compression: {compression}"
    return PlanNode(
        "Write",
        f"{counted(summary.partitions, 'chunk file')} to {job.output.path}, Zarr format {plan.zarr_format}, {codecs}",
        ["each is written once, by one worker; those of nothing but the fill value are left out"],
        Figures(rows=elements, files=summary.partitions),
        [rechunk],
    )


def _calls(plan: RechunkPlan) -> list[str]:
    """What is called for which arrays, and what its halos cost."""
    asked = plan.job.operation
    assert isinstance(asked, Rechunk)
    given = [array for array in plan.arrays if array.called is not None]
    if not given:
        return []
    names = some([array.path or "the array" for array in given], CALLED_SHOWN)
    number = sum(
        math.prod(-(-axis.length // each) for axis, each in zip(one.axes, one.called.chunks, strict=True))
        for one in given
        if one.called is not None
    )
    lines = [f"{asked.function} is called for {counted(number, 'chunk')} of {names}, in a process of its own"]
    for one in given[:CALLED_SHOWN]:
        assert one.called is not None
        halo = ", ".join(_halo(dim, axis) for dim, axis in zip(one.dims, one.axes, strict=True) if axis.halo)
        types = f"{np.dtype(one.called.given)} to {np.dtype(one.called.returned)}"
        lines.append(f"{one.path or 'the array'}: {types}, {f'halo of {halo}' if halo else 'no halo'}")
    if plan.facts.halo_bytes:
        whole = plan.facts.moved_bytes - plan.facts.halo_bytes
        lines.append(
            f"each chunk is read once; halos send {readable(plan.facts.halo_bytes)} of it more than once "
            f"({plan.facts.halo_bytes / max(whole, 1):.1%})"
        )
    return lines


def _halo(dim: str, axis: Axis) -> str:
    depth = f"{axis.before:,}" if axis.before == axis.after else f"{axis.before:,}:{axis.after:,}"
    return f"{depth} in {dim} (boundary {axis.boundary})"


def _line(array: ExplainedArray) -> str:
    name = array.path or "the array"
    shards = f" in shards {_shape(array.shards)}" if array.shards else ""
    return (
        f"{name}: {array.type} {_shape(array.shape)}, {readable(array.bytes)}, chunks {_shape(array.from_chunks)} to "
        f"{_shape(array.chunks)}{shards}"
    )


def _shape(lengths: list[int]) -> str:
    return f"({', '.join(f'{length:,}' for length in lengths)})"
