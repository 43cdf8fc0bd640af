"""Planning of a function that is called for blocks: for which arrays, with which halo, and what it returns.

The function is imported by a process of its own, so one that is not there, or cannot be called with an array, is
refused in the plan. Without a declared type it is called for a small block of ones of each array.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shuffle_protocol.errors import InvalidSpec, OutOfMemory, UserFunctionFailed
from shuffle_protocol.jobs import Job, Overlap, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.units import readable, some
from shuffle_worker.arrays import chunking, grid
from shuffle_worker.arrays.calls import FIELD, ChunkCall, call, sample_of, setup_of, told_to_people
from shuffle_worker.arrays.frame import number
from shuffle_worker.arrays.record import ArrayPlan
from shuffle_worker.arrays.source import ArraySource
from shuffle_worker.functions.blocks import KINDS
from shuffle_worker.functions.host import Host, Trouble
from shuffle_worker.functions.sources import prepare

OVERLAP = "operation.rechunk.overlap"
FEW = 4
"""Positions of a chunk in the block that the function is tried with, at most."""

NAMED = 12
"""The most arrays that an error lists."""


class Halo(NamedTuple):
    """Of one dimension."""

    before: int = 0
    after: int = 0
    boundary: str = "None"


class ArrayCall(NamedTuple):
    """A function and its halo for one array."""

    given: np.dtype[np.generic]
    returned: np.dtype[np.generic]
    halos: Sequence[Halo]
    trim: bool


class FunctionPlan(NamedTuple):
    calls: Mapping[str, ArrayCall]
    """By the array's path."""
    code: list[str]
    """The digests of the job's code."""
    free: int
    """Bytes that the function's process has for blocks."""


NO_FUNCTION = FunctionPlan({}, [], 0)


def function_plan(
    job: Job,
    arrays: Sequence[ArraySource],
    lengths: Mapping[str, Sequence[int]],
    budgets: Budgets,
    scratch: Path | None,
) -> FunctionPlan:
    """lengths: of each array in the output, by its path. Raises JobError."""
    asked = job.operation
    assert isinstance(asked, Rechunk)
    if not asked.function:
        return NO_FUNCTION
    overlap = asked.overlap or Overlap({})
    chosen = [one for one in _given_arrays(asked, arrays) if _has_halo(overlap, one)]
    if not chosen:
        raise InvalidSpec(
            f"{FIELD}: there is no array to call {asked.function} for: {_why_none(overlap, arrays)}; name arrays in "
            "operation.rechunk.variables"
        )
    halos = {one.path: _halos(overlap, one, lengths[one.path]) for one in chosen}
    with tempfile.TemporaryDirectory(prefix="plan-", dir=scratch) as folder:
        places = prepare(job.functions.sources, Path(folder))
        host = Host(setup_of(asked, places, budgets.functions, job.gpu))
        try:
            host.start()
            calls = {one.path: _call(host, asked, overlap, one, lengths[one.path], halos[one.path]) for one in chosen}
        except Trouble as trouble:
            raise told_to_people(trouble, "while planning", asked, budgets.functions) from trouble
        finally:
            host.close()
    return FunctionPlan(calls, [place.sha256 for place in places], host.free)


def check_room(plan: ArrayPlan, free: int, function: str) -> None:
    """Raises OutOfMemory if the function's process cannot hold a block and its result."""
    if plan.called is None or call_bytes(plan) <= free:
        return
    block, result = block_bytes(plan), result_bytes(plan)
    where = plan.path or "the array"
    raise OutOfMemory(
        f"{FIELD}: a block of {where} with its halo is {readable(block)}, and what {function} returns for its chunk "
        f"{readable(result)}; its process has {readable(free)} for both: give functions more (spec.functions.memory), "
        "or take smaller chunks"
    )


def call_bytes(plan: ArrayPlan) -> int:
    """What a function's process holds at least: a block, and what is kept of the result."""
    return block_bytes(plan) + result_bytes(plan) if plan.called is not None else 0


def block_bytes(plan: ArrayPlan) -> int:
    """Of the largest block, with its halo."""
    assert plan.called is not None
    lengths = zip(plan.called.chunks, plan.axes, strict=True)
    return math.prod(min(each, max(axis.length, 1)) + axis.halo for each, axis in lengths) * plan.itemsize


def result_bytes(plan: ArrayPlan) -> int:
    """Of what is kept of a result."""
    assert plan.called is not None
    return math.prod(plan.called.chunks) * np.dtype(plan.called.returned).itemsize


# -- which arrays ----------------------------------------------------------------------------------------------------


def _given_arrays(asked: Rechunk, arrays: Sequence[ArraySource]) -> list[ArraySource]:
    """Those of `variables`; without it all but coordinates and what has no dimensions. Raises InvalidSpec for one whose
    elements no function is given."""
    if asked.variables is not None:
        wanted = {name.strip("/") for name in asked.variables}
        chosen = [one for one in arrays if one.path in wanted]
    else:
        beside = _coordinates(arrays)
        chosen = [one for one in arrays if one.path not in beside and one.shape]
    for one in chosen:
        dtype = one.metadata.dtype.to_native_dtype()
        if dtype.kind not in KINDS and (asked.overlap is None or _has_halo(asked.overlap, one)):
            raise InvalidSpec(
                f"{FIELD}: {one.where} has elements of the type {dtype}, and functions are given numbers, truth values "
                "and times; name the arrays that it is for in operation.rechunk.variables"
            )
    return chosen


def _coordinates(arrays: Sequence[ArraySource]) -> set[str]:
    """Arrays that say where others lie: those of a dimension's name, those that an attribute names as coordinates or
    bounds."""
    out: set[str] = set()
    for one in arrays:
        folder = one.path.rpartition("/")[0]
        named = [word for key in ("coordinates", "bounds") for word in str(one.attributes.get(key, "")).split()]
        beside = [f"{folder}/{name}".lstrip("/") for name in [*one.dims, *named]]
        out.update(name for name in beside if name != one.path or len(one.shape) == 1)
    return out


def _has_halo(overlap: Overlap, one: ArraySource) -> bool:
    """Whether an array has a dimension of the halo; any has if there is no halo."""
    if not overlap.depth:
        return True
    return any(dim in overlap.depth or str(at) in overlap.depth for at, dim in enumerate(one.dims))


def _why_none(overlap: Overlap, arrays: Sequence[ArraySource]) -> str:
    names = some([one.where for one in arrays], NAMED) or "none"
    if overlap.depth:
        return f"no variable has one of the dimensions {', '.join(overlap.depth)} (arrays are {names})"
    return f"all of them are coordinates ({names})"


# -- halos -----------------------------------------------------------------------------------------------------------


def check_overlap(asked: Rechunk, dims: Sequence[str], positions: int) -> None:
    """Refuse dimensions that no array has. positions: how many can be named by position."""
    if asked.overlap is not None:
        chunking.check_names(list(asked.overlap.depth), "overlap.depth", dims, positions)
        chunking.check_names(list(asked.overlap.boundaries), "overlap.boundaries", dims, positions)


def _halos(overlap: Overlap, one: ArraySource, lengths: Sequence[int]) -> list[Halo]:
    """The halo of each dimension. Raises InvalidSpec for one that cannot be made."""
    out: list[Halo] = []
    dtype = one.metadata.dtype.to_native_dtype()
    for at, (dim, length) in enumerate(zip(one.dims, lengths, strict=True)):
        before, after = overlap.depth.get(dim, overlap.depth.get(str(at), (0, 0)))
        boundary = overlap.boundaries.get(dim, overlap.boundaries.get(str(at), overlap.boundary))
        where = f"{OVERLAP}.depth.{dim}"
        if max(before, after) > length > 0:
            raise InvalidSpec(
                f"{where}: a halo of {max(before, after):,} is deeper than {one.where} is long ({length:,}); "
                f"{length:,} is the most"
            )
        if before != after and boundary != "None":
            raise InvalidSpec(
                f'{where}: "{before}:{after}" differs on its two sides, which goes with the boundary None alone, not '
                f"with {boundary}; write {max(before, after)}, or boundaries: {{{dim}: None}}"
            )
        _check_number(boundary, before + after, dtype, f"{OVERLAP}: the boundary {boundary} of {dim} in {one.where}")
        out.append(Halo(before, after, boundary if before + after else "None"))
    return out


def _check_number(boundary: str, halo: int, dtype: np.dtype[np.generic], where: str) -> None:
    if not halo or boundary in ("None", "Reflect", "Periodic", "Nearest"):
        return
    try:
        number(boundary, dtype)
    except ValueError as error:
        raise InvalidSpec(f"{where} is no element of the type {dtype}: {error}; take one that is") from error


# -- types -----------------------------------------------------------------------------------------------------------


def _call(
    host: Host, asked: Rechunk, overlap: Overlap, one: ArraySource, lengths: Sequence[int], halos: Sequence[Halo]
) -> ArrayCall:
    given = one.metadata.dtype.to_native_dtype().newbyteorder("=")
    if asked.dtype:
        return ArrayCall(given, np.dtype(asked.dtype), halos, overlap.trim)
    few = [max(min(length, FEW), 1) for length in lengths]
    sample = ChunkCall(
        array=one.path,
        dims=one.dims,
        array_shape=few,
        chunks=[1] * len(few),
        chunk=[0] * len(few),
        location=tuple((0, size) for size in few),
        shape=[halo.before + size + halo.after for halo, size in zip(halos, few, strict=True)],
        keep=tuple((halo.before, halo.before + size) for halo, size in zip(halos, few, strict=True)),
        dtype=given.str,
        wanted="",
        trim=overlap.trim,
    )
    try:
        returned = call(host, asked, sample, sample_of(sample, given), None).dtype
        return ArrayCall(given, returned, halos, overlap.trim)
    except UserFunctionFailed as error:
        raise InvalidSpec(
            f"operation.rechunk.dtype: is not given, and cannot be found out by calling {asked.function} for a small "
            f"block of ones of {one.where}, {grid.told(sample.shape)}: {error.message}; declare the type that it "
            "returns"
        ) from error
