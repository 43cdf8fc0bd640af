"""Zarr's documents of the output.

If the format stays the same, the input's document is edited: shape, chunks, shards, and compression if the job asks for
another. So everything else (codecs and their settings, fill value, attributes, names) stays as it was written. For the
other format the document is made anew (`conversion`), and means the same to its readers (`fills`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.arrays.conversion import converted, inner_codecs, recompressed
from shuffle_worker.arrays.fills import mask_in_v2, mask_in_v3
from shuffle_worker.arrays.source import DIMENSIONS, ArraySource

KEEP = "Keep"

_V2_COMPRESSORS: dict[str, dict[str, Any] | None] = {
    "None": None,
    "Zstd": {"id": "zstd", "level": 3},
    "Lz4": {"id": "lz4", "acceleration": 1},
    "Gzip": {"id": "gzip", "level": 5},
    "Blosc": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0},
}


class Target(NamedTuple):
    """What the job asks of an array."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """Those inside the shards, if there are shards."""
    shards: tuple[int, ...] | None
    format: int
    compression: str
    itemsize: int = 0
    """Bytes of an element, if they are not the input's."""


class Described(NamedTuple):
    """An array of the output."""

    document: dict[str, Any]
    """Without attributes."""
    attributes: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What changes for readers."""


Retype = Callable[[Described], Described]


def target_document(source: ArraySource, target: Target, retype: Retype | None = None) -> Described:
    """The output's document and attributes. retype: gives the elements another type. Raises InvalidSpec if the format
    cannot express what the input has."""
    if target.format == 2 and target.shards is not None:
        raise InvalidSpec("operation.rechunk.shards: Zarr format 2 has no shards; write zarrFormat: V3")
    found = _in_format(source, target)
    if retype is not None:
        found = retype(found)
    document = found.document
    document["shape"] = list(target.shape)
    if target.format == 2:
        document["chunks"] = list(target.chunks)
        if target.compression != KEEP:
            document["compressor"] = _V2_COMPRESSORS[target.compression]
        return found
    codecs, index = inner_codecs(document)
    if target.compression != KEEP:
        codecs = recompressed(codecs, _V2_COMPRESSORS[target.compression], target.itemsize or source.itemsize)
    if target.shards is not None:
        configuration = {"chunk_shape": list(target.chunks), "codecs": codecs, **index}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    document["codecs"] = codecs
    stored = target.shards if target.shards is not None else target.chunks
    document["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": list(stored)}}
    return found


def _in_format(source: ArraySource, target: Target) -> Described:
    """The array in the output's format."""
    if source.format == target.format:
        return Described(dict(source.document), dict(source.attributes))
    document = converted(source, target.format, target.shape, target.chunks, target.compression == KEEP)
    if target.format == 3:
        attributes, notes = _plain_attributes(source)
        return Described(document, mask_in_v3(source, attributes), notes)
    _check_hidden(source)
    attributes = mask_in_v2(source, document, dict(source.attributes))
    if source.labels is not None:
        attributes[DIMENSIONS] = source.labels
    return Described(document, attributes)


def _plain_attributes(source: ArraySource) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The attributes that a reader of format 2 shows, without those that name dimensions for xarray and NetCDF."""
    if source.labels is None:
        return dict(source.attributes), ()
    gone = [name for name in source.attributes if _is_hidden(name)]
    kept = {name: value for name, value in source.attributes.items() if name not in gone and name != DIMENSIONS}
    if not gone:
        return kept, ()
    return kept, (f"{source.where}: {', '.join(gone)} describe NetCDF's layout in format 2, and are left out",)


def _check_hidden(source: ArraySource) -> None:
    for name in source.attributes:
        if source.labels is not None and _is_hidden(name):
            raise InvalidSpec(
                f"operation.rechunk.zarrFormat: {source.where} has the attribute {name!r}, and readers of format 2 "
                "take names that begin with _nc for NetCDF's own and hide them; keep format 3, or rename it"
            )


def _is_hidden(name: str) -> bool:
    return name.lower().startswith("_nc")


def store_documents(
    zarr_format: int,
    groups: Sequence[tuple[str, dict[str, Any]]],
    arrays: Sequence[tuple[str, dict[str, Any], dict[str, Any]]],
) -> list[tuple[str, bytes]]:
    """Every document of the output with its path. The root's is last: until it is there, there is no store.

    groups: path and attributes; arrays: path, document, attributes. Groups get consolidated metadata."""
    found: dict[str, bytes] = {}

    def put(path: str, name: str, content: Any) -> None:
        found[f"{path}/{name}".lstrip("/")] = json.dumps(content, indent=2).encode()

    for path, attributes in groups:
        if zarr_format == 2:
            put(path, ".zattrs", attributes)
            put(path, ".zgroup", {"zarr_format": 2})
        else:
            put(path, "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})
    for path, document, attributes in arrays:
        if zarr_format == 2:
            put(path, ".zattrs", attributes)
            put(path, ".zarray", document)
        else:
            put(path, "zarr.json", {**document, "attributes": attributes})
    if groups:
        found.update(_consolidated(found, zarr_format))
    roots = (".zmetadata", ".zattrs", ".zarray", ".zgroup", "zarr.json")
    return sorted(found.items(), key=lambda item: (roots.index(item[0]) if item[0] in roots else -1, item[0]))


def _consolidated(found: dict[str, bytes], zarr_format: int) -> dict[str, bytes]:
    prototype = default_buffer_prototype()
    held = {key: prototype.buffer.from_bytes(data) for key, data in found.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata is not in the specification of v3, but widely used
        zarr.consolidate_metadata(MemoryStore(held), zarr_format=2 if zarr_format == 2 else 3)
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    return {name: held[name].to_bytes()}
