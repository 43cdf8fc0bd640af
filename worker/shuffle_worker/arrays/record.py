"""The plan of a rechunk: what every worker needs, worked out once. Beside it, `plan/record.py` is the plan of tables.

What shows in the output (shapes of chunks and shards, codecs, documents) depends on the input and the job alone;
pieces, boxes, splits and groups look at memory and the number of workers too, and never show.
"""

from __future__ import annotations

import xxhash
from msgspec import Struct

from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.arrays.grid import Axis

Binary = bytes


class ArrayPlan(Struct, frozen=True):
    """One array of the store."""

    path: str
    """Below the store, "" for the store itself."""
    source: Binary
    target: Binary
    """`source`, `target`: Zarr's documents of the input and the output, as JSON (attributes left out)."""
    dims: list[str]
    """Names of the dimensions, or their positions."""
    axes: list[Axis]
    itemsize: int
    """Bytes of an element; of strings what is assumed."""
    item_bytes: int
    """Bytes of an output object, decoded."""
    file_shape: list[int]
    """Input positions that one stored file holds."""
    inner: bool = False
    """Chunks inside a shard are read one by one, because the shard is too large to be read whole."""
    present: Binary | None = None
    """Which files the input has, a bit for each in the order of their places; None: not known, each is asked for."""
    tags: Binary | None = None
    """`tag_digest` of each of them, four bytes, little endian; None where they were not listed."""
    moved: bool = True
    """Elements are exchanged, as opposed to an array that keeps its chunks."""
    refilled: bool = False
    """What the input does not store reads differently in the output, so that it is written, with the input's fill
    value."""


def tag_digest(tag: str) -> int:
    """Four bytes of a file's tag: enough to tell that it changed, and small enough for a hundred thousand files."""
    return xxhash.xxh32_intdigest(tag.encode())


class PieceRun(Struct, frozen=True, array_like=True):
    """Consecutive pieces of a part of an array."""

    array: int
    part: int
    first: int
    stop: int


class ArraySplit(Struct, frozen=True, array_like=True):
    """What one lease reads."""

    runs: list[PieceRun]
    elements: int
    """Those of its pieces."""
    bytes: int
    """Estimated, as stored."""


class OutputBox(Struct, frozen=True, array_like=True):
    """A box of output objects: what slabs are addressed to."""

    array: int
    part: int
    box: int
    items: int
    """Objects in the box."""
    bytes: int


class Summaries(Struct, frozen=True):
    """What `explain` tells beside the coordinator's summary."""

    parts: int  # of arrays, that exchange nothing with each other
    waves: int  # of the job: parts, gathered
    balance: float  # the most bytes that a worker owns over the mean
    moved_bytes: int  # decoded, all arrays
    piece_bytes: int
    box_bytes: int
    requests: int = 0  # for the documents of the input


class RechunkPlan(Struct, frozen=True):
    """The plan of a rechunk."""

    job: Job
    arrays: list[ArrayPlan]
    splits: list[ArraySplit]
    buckets: list[OutputBox]
    groups: list[int]
    """The first bucket of each, and the number of buckets at the end."""
    documents: list[tuple[str, Binary]]
    """Everything that is written at the end beside the chunks, by its path below the store, in the order of writing."""
    summary: PlanSummary
    facts: Summaries
    zarr_format: int = 3
