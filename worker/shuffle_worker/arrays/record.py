"""The plan of a rechunk: everything that workers need, worked out once. `plan/record.py` is the plan of tables.

Everything that shows in the output (shapes of chunks and shards, codecs, documents) depends on the input and the job
alone. Pieces, boxes, splits and groups depend on memory and the number of workers too, and never show.
"""

from __future__ import annotations

import xxhash
from msgspec import Struct, field

from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.arrays.grid import Axis

Binary = bytes


class Called(Struct, frozen=True):
    """The function that is called for the blocks of an array. Its halo is the axes'."""

    given: str
    """NumPy's name of the type of its blocks, in the machine's byte order."""
    returned: str
    """The type of what it returns."""
    chunks: list[int]
    """The lengths of a block without its halo: the output's chunks, also in shards."""
    trim: bool
    """It returns the halo too."""


class ArrayPlan(Struct, frozen=True):
    """One array of the store."""

    path: str
    """Path below the store; "" for the root."""
    source: Binary
    target: Binary
    """`source`, `target`: Zarr's documents of the input and the output, as JSON without attributes."""
    dims: list[str]
    """Names of the dimensions, or their positions."""
    axes: list[Axis]
    itemsize: int
    """Bytes of an element; an assumed size for strings."""
    item_bytes: int
    """Decoded bytes of an output object."""
    file_shape: list[int]
    """Input positions of one stored file."""
    inner: bool = False
    """Chunks inside a shard are read one by one, because the shard is too large to be read whole."""
    present: Binary | None = None
    """Which files the input has, a bit for each in the order of their places. None: not known, so each is requested."""
    tags: Binary | None = None
    """`tag_digest` of each file, four bytes, little endian; None if they were not listed."""
    moved: bool = True
    """Its chunks change, so elements are exchanged."""
    refilled: bool = False
    """Missing elements would read differently in the output, so they are written with the input's fill value."""
    called: Called | None = None
    """What is called for its blocks; None: its elements stay."""


def tag_digest(tag: str) -> int:
    """A digest of a file's tag in four bytes: enough to notice a change, and small for a hundred thousand files."""
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
    """Elements of its pieces."""
    bytes: int
    """Estimated bytes as stored."""


class OutputBox(Struct, frozen=True, array_like=True):
    """A box of output objects, to which slabs are sent."""

    array: int
    part: int
    box: int
    items: int
    """Objects in the box."""
    bytes: int


class Summaries(Struct, frozen=True):
    """What `explain` says beyond the coordinator's summary."""

    parts: int  # of arrays, that exchange nothing with each other
    waves: int  # of the job: parts, gathered
    balance: float  # the most bytes that a worker owns over the mean
    moved_bytes: int  # decoded, all arrays
    piece_bytes: int
    requests: int = 0  # for the documents of the input
    halo_bytes: int = 0  # decoded, that are sent more than once, because halos overlap


class RechunkPlan(Struct, frozen=True):
    """The plan of a rechunk."""

    job: Job
    arrays: list[ArrayPlan]
    splits: list[ArraySplit]
    buckets: list[OutputBox]
    groups: list[int]
    """The first bucket of each, and at the end the number of buckets."""
    documents: list[tuple[str, Binary]]
    """Path below the store and content of every file but the chunks, in the order in which the commit writes them."""
    summary: PlanSummary
    facts: Summaries
    zarr_format: int = 3
    code: list[str] = field(default_factory=list)
    """The digest of each of the job's sources of functions ("" for a folder)."""
