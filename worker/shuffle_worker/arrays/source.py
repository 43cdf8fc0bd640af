"""An array of the input as its own document describes it, and the input's hierarchy."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from shuffle_protocol.errors import DataError, InvalidSpec

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray names an array's dimensions in format 2."""

NCZARR = "_NCZARR_ARRAY"
"""NetCDF's addition to a format 2 document, which names dimensions too."""


class ArraySource(NamedTuple):
    """An array of the input."""

    path: str
    """Path below the store; "" for the root."""
    metadata: ArrayV2Metadata | ArrayV3Metadata
    attributes: dict[str, Any]
    document: dict[str, Any]
    """Without attributes."""

    @property
    def where(self) -> str:
        """Its name in messages."""
        return self.path or "the array"

    @property
    def format(self) -> int:
        return self.metadata.zarr_format

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.metadata.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunk lengths; those inside the shards, if there are shards."""
        return tuple(self.metadata.chunks)

    @property
    def shards(self) -> tuple[int, ...] | None:
        found = self.metadata.shards
        return None if found is None else tuple(found)

    @property
    def labels(self) -> list[str | None] | None:
        """The dimensions' names as xarray finds them; None if it finds none and does not open the array."""
        if isinstance(self.metadata, ArrayV3Metadata):
            given: Any = self.metadata.dimension_names or ()
        else:
            given = self.attributes.get(DIMENSIONS, _nczarr_names(self.document))
        if not isinstance(given, list | tuple) or len(given) != len(self.shape):
            return None
        return list(given) if all(name is None or isinstance(name, str) for name in given) else None

    @property
    def names(self) -> list[str | None]:
        """A name or None for each dimension."""
        return self.labels or [None] * len(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element; 1 if elements have no fixed size."""
        dtype = self.metadata.dtype.to_native_dtype()
        return 1 if dtype.kind in "OT" else max(dtype.itemsize, 1)

    @property
    def dims(self) -> list[str]:
        """A name for each dimension: its own, or its position."""
        return [name or str(at) for at, name in enumerate(self.names)]


class Hierarchy(NamedTuple):
    """The input."""

    format: int
    arrays: list[ArraySource]
    groups: list[tuple[str, dict[str, Any]]]
    """Path and attributes of each, the root first; empty if the store is one array."""
    requests: int = 1
    """Reads and listings that it took."""
    notes: tuple[str, ...] = ()
    """Notes for the job's author."""


def source_of(folder: str, path: str, raw: Mapping[str, Any], attributes: dict[str, Any]) -> ArraySource:
    """The array that a document describes. Raises DataError if Zarr does not understand the document, InvalidSpec if it
    needs something that is not supported."""
    where = f"{folder}/{path}".rstrip("/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Zarr warns of types and keys without a specification; they are kept
            metadata = _parsed(raw)
            normal, _ = documents_of(metadata)
            json.dumps(normal, allow_nan=False)  # no codec has a setting that is no JSON
    except Exception as error:  # Zarr and numcodecs raise errors of any kind for a document that people wrote
        raise DataError(f"{where}: its metadata cannot be read: {_said(error)}") from error
    beside = ("attributes", "consolidated_metadata")
    unknown = {key: value for key, value in raw.items() if key not in normal and key not in beside}
    source = ArraySource(path, metadata, attributes, {**unknown, **normal})
    if isinstance(metadata, ArrayV3Metadata) and metadata.storage_transformers:
        raise InvalidSpec(f"{source.where}: storage transformers are not supported")
    try:
        _check_lengths(where, source.shape, source.shards or source.chunks, source.chunks, *_written_lengths(raw))
    except NotImplementedError as error:
        raise InvalidSpec(f"{source.where}: only regular chunk grids can be read: {error}") from error
    return source


def _written_lengths(raw: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Chunk lengths as a document of format 2 has them: from 3.4 on Zarr reads some others instead of a 0."""
    found = raw.get("chunks")
    return [tuple(found)] if isinstance(found, list) and all(isinstance(each, int) for each in found) else []


def _check_lengths(where: str, shape: tuple[int, ...], *cuts: tuple[int, ...]) -> None:
    """Refuse lengths that Zarr accepts but nobody can compute with."""
    if math.prod(max(size, 1) for size in shape) >= 1 << 63:
        raise DataError(f"{where}: its shape {shape} has more elements than can be counted")
    for lengths in cuts:
        if len(lengths) != len(shape) or min(lengths, default=1) < 1:
            raise DataError(f"{where}: chunks of {lengths} cannot cut an array of shape {shape}")


def documents_of(metadata: ArrayV2Metadata | ArrayV3Metadata) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document without attributes, and the attributes."""
    found = metadata.to_buffer_dict(default_buffer_prototype())
    if isinstance(metadata, ArrayV2Metadata):
        return json.loads(found[".zarray"].to_bytes()), json.loads(found[".zattrs"].to_bytes())
    document = json.loads(found["zarr.json"].to_bytes())
    return document, document.pop("attributes", {})


def _parsed(raw: Mapping[str, Any]) -> ArrayV2Metadata | ArrayV3Metadata:
    plain = {key: value for key, value in raw.items() if key != "attributes"}
    return ArrayV2Metadata.from_dict(plain) if plain["zarr_format"] == 2 else ArrayV3Metadata.from_dict(plain)


def _nczarr_names(document: Mapping[str, Any]) -> Any:
    """The last part of each dimension's full name, as in xarray."""
    found = document.get(NCZARR)
    names = found.get("dimrefs") if isinstance(found, dict) else None
    if not isinstance(names, list):
        return None
    return [name.rpartition("/")[2] if isinstance(name, str) else name for name in names]


def _said(error: Exception) -> str:
    """The error's message. That of a KeyError is only the key, so this adds to it."""
    return f"no {error}" if type(error) is KeyError else " ".join(str(error).split()) or type(error).__name__
