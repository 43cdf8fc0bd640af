"""Calls of a function of the user's for blocks of arrays, in its process (`functions/`), while planning and writing.

Memory, beside the process's own: one block as it is sent, and what the function returned for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import JobError, UserFunctionFailed
from shuffle_protocol.jobs import Rechunk
from shuffle_worker.arrays import grid
from shuffle_worker.arrays.coding import Array
from shuffle_worker.arrays.grid import Box
from shuffle_worker.arrays.record import ArrayPlan, RechunkPlan
from shuffle_worker.functions.failures import MORE_MEMORY, failed_call
from shuffle_worker.functions.host import Check, Host, Setup, Trouble
from shuffle_worker.functions.pool import Hosts
from shuffle_worker.functions.sources import ImportPath

FIELD = "operation.rechunk.apply"


class ChunkCall(NamedTuple):
    """What the function is told of a block, and what is kept of its result."""

    array: str
    dims: Sequence[str]
    array_shape: Sequence[int]
    chunks: Sequence[int]
    """How many chunks there are in each dimension."""
    chunk: Sequence[int]
    """Which one it is."""
    location: Box
    """The chunk, without its halo."""
    shape: Sequence[int]
    """The block's, with the halo."""
    keep: Box
    """Where the chunk lies in the block."""
    dtype: str
    wanted: str
    """The type of what is returned; "": any."""
    trim: bool

    def told(self) -> str:
        """The block, for people."""
        spans = ", ".join(
            f"{dim} {start:,}:{stop:,}" for dim, (start, stop) in zip(self.dims, self.location, strict=True)
        )
        number = ", ".join(f"{at:,}" for at in self.chunk)
        return f"chunk ({number}) of {self.array or 'the array'}, {spans}"


def call_of(array: ArrayPlan, chunk: Box) -> ChunkCall:
    """The call for a chunk of the output."""
    called = array.called
    assert called is not None
    whole = tuple(axis.block(span) for axis, span in zip(array.axes, chunk, strict=True))
    shape = [axis.length for axis in array.axes]
    return ChunkCall(
        array=array.path,
        dims=array.dims,
        array_shape=shape,
        chunks=[-(-size // each) for size, each in zip(shape, called.chunks, strict=True)],
        chunk=[start // each for (start, _), each in zip(chunk, called.chunks, strict=True)],
        location=chunk,
        shape=grid.shape_of(whole),
        keep=tuple((a - start, b - start) for (a, b), (start, _) in zip(chunk, whole, strict=True)),
        dtype=called.given,
        wanted=called.returned,
        trim=called.trim,
    )


def setup_of(asked: Rechunk, places: Sequence[ImportPath], memory: int, gpu: bool) -> Setup:
    nothing = pa.schema([])
    return Setup(asked.function, places, nothing, None, memory, asked.seconds, blocks=True, gpu=gpu)


def call(host: Host, asked: Rechunk, one: ChunkCall, block: Array, check: Check | None) -> Array:
    """What the function returned for a block, without the halo. Raises JobError."""
    try:
        frame = host.block(one._asdict(), block.reshape(-1).view(np.uint8).data, check)
    except Trouble as trouble:
        raise told_to_people(trouble, one.told(), asked, host.setup.memory) from trouble
    dtype = np.dtype(str(frame.told()["dtype"]))
    return np.frombuffer(frame.body, np.uint8).view(dtype).reshape(grid.shape_of(one.keep))


class BlockCalls:
    """The processes of a plan's function; they are started when they are wanted. Several threads call it."""

    def __init__(self, plan: RechunkPlan, scratch: Path, memory: int) -> None:
        job = plan.job
        assert isinstance(job.operation, Rechunk)
        self.asked = asked = job.operation
        self._hosts = Hosts(job, scratch, plan.code, lambda places: setup_of(asked, places, memory, job.gpu))

    def host(self) -> AbstractContextManager[Host]:
        return self._hosts.host()


def told_to_people(trouble: Trouble, where: str, asked: Rechunk, memory: int) -> JobError:
    """The error for people. where: the block, or what it was called for."""
    if trouble.kind == "differs":
        first, _, _ = trouble.message.partition("\n")
        return UserFunctionFailed(f"{FIELD}: {asked.function}: {first}\n{where}")
    cure = f"{MORE_MEMORY}, or take smaller chunks"
    return failed_call(trouble, FIELD, asked.function, lambda: where, memory, cure, "operation.rechunk.timeoutSeconds")


def sample_of(one: ChunkCall, dtype: np.dtype[Any]) -> Array:
    """A block of ones, as Dask tries functions."""
    return np.ones(tuple(one.shape), np.int64).astype(dtype)
