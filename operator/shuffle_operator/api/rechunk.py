"""`operation.rechunk`: what of a job does not go with arrays, and what the workers get. Called by resolve.py."""

from __future__ import annotations

from collections.abc import Iterator

from shuffle_operator.api.arrays import Overlap, Rechunk
from shuffle_operator.api.data import Input, Output
from shuffle_operator.api.problems import Path, Problem
from shuffle_operator.api.quantities import parse_bytes
from shuffle_operator.api.spec import Spec
from shuffle_protocol import jobs

DEFAULT_TARGET_BYTES = 64 << 20
"""Of a chunk with lengths that are left open."""

_FORMATS = {"Keep": 0, "V2": 2, "V3": 3}

_OF_TABLES = {
    "partitions": "chunks are cut by operation.rechunk.chunks",
    "target_partition_size": "chunks are cut by operation.rechunk.chunks and targetChunkSize",
    "compression": "chunks are compressed by operation.rechunk.compression",
    "sort_within": "there are no rows to be sorted",
    "compute": "an array keeps its values",
    "filter": "positions are chosen by operation.rechunk.select",
    "columns": "arrays are chosen by operation.rechunk.variables",
}
"""Fields of the output that mean nothing for arrays, and what does."""


def rechunk_problems(spec: Spec) -> Iterator[Problem]:
    """Fields that are given and mean nothing for arrays: nobody shall believe that they had an effect."""
    for index, item in enumerate(spec.inputs):
        yield from _input_problems(item, ("spec", "inputs", index))
    yield from _output_problems(spec.output, ("spec", "output"))


def _input_problems(item: Input, path: Path) -> Iterator[Problem]:
    if item.paths is not None:
        yield Problem((*path, "paths"), "rechunk takes one Zarr store; give its path")
    if item.base_path is not None:
        yield Problem((*path, "basePath"), "goes with tables, whose folders give columns; leave it out")
    if item.format not in (None, "Zarr"):
        yield Problem((*path, "format"), f"rechunk reads Zarr, not {item.format}")
    if item.columns is not None:
        yield Problem((*path, "columns"), "arrays are chosen by operation.rechunk.variables")
    if item.filter is not None:
        yield Problem((*path, "filter"), "positions are chosen by operation.rechunk.select")
    if item.compute is not None:
        yield Problem((*path, "compute"), "goes with tables, whose rows have columns; an array keeps its values")
    if item.name_as is not None:
        yield Problem((*path, "nameAs"), "goes with tables, whose rows have columns; leave it out")
    if item.reader is not None:
        yield Problem((*path, "reader"), "rechunk reads Zarr stores only")
    if item.map is not None:
        yield Problem((*path, "map"), "goes with tables, whose rows it is given; leave it out")


def _output_problems(output: Output, path: Path) -> Iterator[Problem]:
    given = output.model_fields_set
    if "format" in given and output.format != "Zarr":
        yield Problem((*path, "format"), f"rechunk writes Zarr, not {output.format}")
    for name, instead in _OF_TABLES.items():
        if name in given and getattr(output, name) is not None:
            alias = type(output).model_fields[name].alias or name
            yield Problem((*path, alias), f"goes with tables, not with rechunk: {instead}")


def rechunk(asked: Rechunk) -> jobs.Rechunk:
    target = asked.target_chunk_size
    return jobs.Rechunk(
        chunks=dict(asked.chunks or {}),
        target_bytes=parse_bytes(target) if target is not None else DEFAULT_TARGET_BYTES,
        shards=dict(asked.shards or {}),
        variables=list(asked.variables) if asked.variables is not None else None,
        select=dict(asked.select or {}),
        zarr_format=_FORMATS[asked.zarr_format],
        compression=asked.compression,
        function=asked.apply or "",
        overlap=_overlap(asked.overlap) if asked.overlap is not None else None,
        dtype=asked.dtype or "",
        seconds=float(asked.timeout_seconds),
    )


def _overlap(asked: Overlap) -> jobs.Overlap:
    return jobs.Overlap(
        depth={name: _sides(value) for name, value in asked.depth.items()},
        boundary=str(asked.boundary),
        boundaries={name: str(value) for name, value in (asked.boundaries or {}).items()},
        trim=asked.trim,
    )


def _sides(depth: int | str) -> tuple[int, int]:
    """`2:0` is two before and none after."""
    if isinstance(depth, int):
        return depth, depth
    before, _, after = depth.partition(":")
    return int(before), int(after)
