"""What is done with a Zarr store: `read_zarr(...).rechunk({"time": -1}).write_zarr(...)`. See tables.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shuffle_local.python.bodies import Body, body_of
from shuffle_local.python.functions import AnyFunction, function_name
from shuffle_local.python.job import ShuffleJob, job_of
from shuffle_local.python.keys import Columns, OnePath, listed
from shuffle_local.python.typed import OverlapFields, Quantity, StorageFields
from shuffle_operator.api.arrays import Rechunk
from shuffle_operator.api.data import Output, Storage

ChunkLength = int | Literal["Auto"]


@dataclass(frozen=True, slots=True, repr=False)
class ZarrStore:
    """A store that is read: one array, or a group of them."""

    input: Body

    def __repr__(self) -> str:
        return f"read_zarr({self.input['path']!r})"

    def rechunk(  # noqa: PLR0913 - all fields of a rechunk
        self,
        chunks: Mapping[str, ChunkLength] | None = None,
        *,
        target_chunk_size: Quantity | None = None,
        shards: Mapping[str, int] | None = None,
        variables: Columns | None = None,
        select: Mapping[str, str | slice] | None = None,
        zarr_format: Literal["Keep", "V2", "V3"] | None = None,
        compression: Literal["Keep", "None", "Zstd", "Lz4", "Gzip", "Blosc"] | None = None,
        apply: AnyFunction | None = None,
        overlap: OverlapFields | None = None,
        dtype: str | None = None,
        timeout_seconds: int | None = None,
    ) -> RechunkedStore:
        """Store the arrays in chunks of another shape (docs/rechunk.md). chunks: a length for each dimension, by its
        name; -1 for the whole dimension, "Auto" for what comes near target_chunk_size. select: positions to keep, as
        slices or as text. apply: a function (array) -> array of your own, or its `package.module:function`, that is
        called for each chunk with the halo that overlap says (docs/map-overlap.md), as {"depth": {"time": 1},
        "boundary": "Reflect"}; a pair is the depth before and after. dtype: of what it returns."""
        arguments = {
            "chunks": chunks,
            "target_chunk_size": target_chunk_size,
            "shards": shards,
            "variables": listed(variables),
            "select": {name: _positions(value) for name, value in select.items()} if select is not None else None,
            "zarr_format": zarr_format,
            "compression": compression,
            "apply": None if apply is None else function_name(apply, "rechunk", "apply"),
            "overlap": None if overlap is None else _sides(overlap),
            "dtype": dtype,
            "timeout_seconds": timeout_seconds,
        }
        return RechunkedStore(self.input, body_of(Rechunk, arguments, ("spec", "operation", "rechunk"), {}))


def _sides(overlap: OverlapFields) -> dict[str, Any]:
    """A depth of (2, 0) is "2:0", and the boundary None "None"."""
    plain: dict[str, Any] = dict(overlap)
    if isinstance(plain.get("depth"), Mapping):
        plain["depth"] = {name: _depth(value) for name, value in plain["depth"].items()}
    if "boundary" in plain:
        plain["boundary"] = _edge(plain["boundary"])
    if isinstance(plain.get("boundaries"), Mapping):
        plain["boundaries"] = {name: _edge(value) for name, value in plain["boundaries"].items()}
    return plain


def _depth(given: Any) -> Any:
    return ":".join(map(str, given)) if isinstance(given, tuple | list) and len(given) == 2 else given


def _edge(given: Any) -> Any:
    """A boundary as the resource has it: fractions are text there."""
    if given is None:
        return "None"
    return repr(given).replace("nan", "NaN").replace("inf", "Infinity") if isinstance(given, float) else given


def _positions(given: Any) -> Any:
    """slice(0, 8760) is "0:8760"."""
    if not isinstance(given, slice):
        return given
    ends = [given.start, given.stop, *([given.step] if given.step is not None else [])]
    return ":".join("" if end is None else str(end) for end in ends)


@dataclass(frozen=True, slots=True, repr=False)
class RechunkedStore:
    """A store, and the chunks that it gets. `write_zarr` makes it a job."""

    input: Body
    rechunk: Body

    def __repr__(self) -> str:
        return f"read_zarr({self.input['path']!r}).rechunk({self.rechunk.get('chunks', {})!r})"

    def write_zarr(
        self,
        path: OnePath,
        *,
        name: str | None = None,
        report: bool | None = None,
        on_existing: Literal["Fail", "Overwrite"] | None = None,
        storage: Storage | StorageFields | None = None,
    ) -> ShuffleJob:
        """path: of the store to write. name: of the job; after the store where not given. report: write the
        job's report beside the manifest, too. on_existing: what to do where
        there is a store."""
        calls = {("spec", "inputs", 0): "read_zarr", ("spec", "output"): "write_zarr"}
        arguments = {"path": path, "format": "Zarr", "report": report, "on_existing": on_existing, "storage": storage}
        output = body_of(Output, arguments, ("spec", "output"), calls)
        return job_of({"operation": {"rechunk": self.rechunk}, "inputs": [self.input], "output": output}, name, calls)
