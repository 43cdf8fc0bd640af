"""Zarr's documents: what the input says, and what the output will say.

Where the format stays the same the input's own document is edited: shape, chunks and shards, compression where asked
for. So everything else (codecs and their settings, fill value, attributes, names) is kept as it was written. From one
format to the other Zarr itself makes the new document, from codecs that mean the same in both.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import zarr
from zarr.abc.codec import ArrayArrayCodec, BytesBytesCodec
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.errors import BaseZarrError
from zarr.storage import MemoryStore

from shuffle_worker.arrays.store import StorageStore, read_file
from shuffle_worker.errors import DataError, InputNotFound, InvalidSpec
from shuffle_worker.storage import Storage

KEEP = "Keep"

_V2_COMPRESSORS: dict[str, dict[str, Any] | None] = {
    "None": None,
    "Zstd": {"id": "zstd", "level": 3},
    "Lz4": {"id": "lz4", "acceleration": 1},
    "Gzip": {"id": "gzip", "level": 5},
    "Blosc": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0},
}


class Source(NamedTuple):
    """An array of the input. path: below the store, "" for the store itself. document: without attributes."""

    path: str
    metadata: ArrayV2Metadata | ArrayV3Metadata
    attributes: dict[str, Any]
    document: dict[str, Any]

    @property
    def format(self) -> int:
        return self.metadata.zarr_format

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.metadata.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunks; those inside the shards where there are shards."""
        return tuple(self.metadata.chunks)

    @property
    def shards(self) -> tuple[int, ...] | None:
        found = self.metadata.shards
        return None if found is None else tuple(found)

    @property
    def names(self) -> list[str | None]:
        """The dimensions' names, as v3 or xarray's attribute in v2 has them."""
        given: Sequence[str | None] | None
        if isinstance(self.metadata, ArrayV3Metadata):
            given = self.metadata.dimension_names
        else:
            given = self.attributes.get("_ARRAY_DIMENSIONS")
        ndim = len(self.shape)
        return list(given) if given is not None and len(given) == ndim else [None] * ndim

    @property
    def itemsize(self) -> int:
        """Bytes of an element; 1 of what has no fixed size."""
        dtype = self.metadata.dtype.to_native_dtype()
        return 1 if dtype.kind in "OT" else max(dtype.itemsize, 1)

    @property
    def dims(self) -> list[str]:
        """A name for each dimension: its own, or its position."""
        return [name or str(at) for at, name in enumerate(self.names)]


class Hierarchy(NamedTuple):
    """The input. groups: path and attributes of each, the store's own first; none where the store is one array."""

    format: int
    arrays: list[Source]
    groups: list[tuple[str, dict[str, Any]]]


class Target(NamedTuple):
    """What an array is to become. chunks: inside the shards where there are shards."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    format: int
    compression: str


def read_hierarchy(storage: Storage, folder: str) -> Hierarchy:
    """Everything that the store at a folder says of itself."""
    store = StorageStore(storage, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what lies beside arrays and groups, and is passed over
            node = zarr.open(store, mode="r")
            if isinstance(node, zarr.Array):
                return Hierarchy(node.metadata.zarr_format, [_source("", node.metadata)], [])
            members = dict(node.members(max_depth=None))
    except (FileNotFoundError, BaseZarrError) as error:
        raise _no_store(storage, folder, error) from error
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise DataError(f"{folder}: its metadata cannot be read: {error}") from error
    groups = [("", dict(node.metadata.attributes))]
    arrays: list[Source] = []
    for path in sorted(members):
        member = members[path]
        if isinstance(member, zarr.Array):
            arrays.append(_source(path, member.metadata))
        else:
            groups.append((path, dict(member.metadata.attributes)))
    return Hierarchy(node.metadata.zarr_format, arrays, groups)


def _no_store(storage: Storage, folder: str, error: Exception) -> Exception:
    for name in ("zarr.json", ".zgroup", ".zarray"):
        if read_file(storage, f"{folder}/{name}") is not None:
            return DataError(f"{folder}: its metadata cannot be read: {error}")
    return InputNotFound(f"{folder}: is no Zarr store (there is no zarr.json, .zgroup or .zarray in it)")


def _source(path: str, metadata: ArrayV2Metadata | ArrayV3Metadata) -> Source:
    document, attributes = documents_of(metadata)
    source = Source(path, metadata, attributes, document)
    if isinstance(metadata, ArrayV3Metadata) and metadata.storage_transformers:
        raise InvalidSpec(f"{path or 'the array'}: storage transformers are not supported")
    try:
        _ = source.chunks
    except NotImplementedError as error:
        raise InvalidSpec(f"{path or 'the array'}: only regular chunk grids can be read: {error}") from error
    return source


def documents_of(metadata: ArrayV2Metadata | ArrayV3Metadata) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document without attributes, and the attributes."""
    found = metadata.to_buffer_dict(default_buffer_prototype())
    if isinstance(metadata, ArrayV2Metadata):
        return json.loads(found[".zarray"].to_bytes()), json.loads(found[".zattrs"].to_bytes())
    document = json.loads(found["zarr.json"].to_bytes())
    return document, document.pop("attributes", {})


def target_document(source: Source, target: Target) -> tuple[dict[str, Any], dict[str, Any]]:
    """The output's document without attributes, and its attributes."""
    where = source.path or "the array"
    if target.format == 2 and target.shards is not None:
        raise InvalidSpec("operation.rechunk.shards: Zarr format 2 has no shards; write zarrFormat: V3")
    document, attributes = dict(source.document), dict(source.attributes)
    if source.format != target.format:
        document = _converted(source, target, where)
        if target.format == 3:
            attributes.pop("_ARRAY_DIMENSIONS", None)
        elif any(source.names):
            attributes["_ARRAY_DIMENSIONS"] = source.dims
    document["shape"] = list(target.shape)
    if target.format == 2:
        document["chunks"] = list(target.chunks)
        if target.compression != KEEP:
            document["compressor"] = _V2_COMPRESSORS[target.compression]
        return document, attributes
    codecs, index = _inner_codecs(document)
    if target.compression != KEEP:
        codecs = _recompressed(codecs, target.compression, source.itemsize)
    if target.shards is not None:
        configuration = {"chunk_shape": list(target.chunks), "codecs": codecs, **index}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    document["codecs"] = codecs
    stored = target.shards if target.shards is not None else target.chunks
    document["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": list(stored)}}
    return document, attributes


def _inner_codecs(document: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A v3 document's codecs, those inside the shards where there are shards; and the settings of a shard's index."""
    codecs = list(document["codecs"])
    index: dict[str, Any] = {
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        inside = codecs[0]["configuration"]
        return list(inside["codecs"]), {key: inside[key] for key in index if key in inside}
    return codecs, index


def _recompressed(codecs: list[dict[str, Any]], compression: str, itemsize: int) -> list[dict[str, Any]]:
    from zarr.registry import get_codec_class

    kept = [codec for codec in codecs if not issubclass(get_codec_class(codec["name"]), BytesBytesCodec)]
    return kept + _v3_compressors(_V2_COMPRESSORS[compression], itemsize)


def _v3_compressors(config: dict[str, Any] | None, itemsize: int) -> list[dict[str, Any]]:
    """The v3 codec that does what a v2 compressor does."""
    if config is None:
        return []
    settings = {key: value for key, value in config.items() if key != "id"}
    kind = config["id"]
    if kind == "zstd":
        level, checksum = settings.get("level", 0), bool(settings.get("checksum"))
        return [{"name": "zstd", "configuration": {"level": level, "checksum": checksum}}]
    if kind == "gzip":
        return [{"name": "gzip", "configuration": {"level": settings.get("level", 5)}}]
    if kind == "blosc":
        shuffles = [BloscShuffle.noshuffle, BloscShuffle.shuffle, BloscShuffle.bitshuffle]
        shuffle = settings.get("shuffle", 1)
        if shuffle < 0:  # numcodecs decides by the size of the elements
            shuffle = 2 if itemsize == 1 else 1
        made = BloscCodec(
            cname=settings.get("cname", "lz4"),
            clevel=settings.get("clevel", 5),
            shuffle=shuffles[shuffle],
            blocksize=settings.get("blocksize", 0),
            typesize=settings.get("typesize") or itemsize,
        )
        return [made.to_dict()]
    return [{"name": f"numcodecs.{kind}", "configuration": settings}]


def _converted(source: Source, target: Target, where: str) -> dict[str, Any]:
    """The document in the other format, its codecs doing what they did."""
    metadata = source.metadata
    store = MemoryStore()
    common: dict[str, Any] = {
        "shape": target.shape,
        "dtype": metadata.dtype,
        "chunks": target.chunks,
        "fill_value": metadata.fill_value,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that the specification does not name yet: they are the input's
        try:
            if isinstance(metadata, ArrayV2Metadata):
                made = zarr.create_array(
                    store,
                    zarr_format=3,
                    dimension_names=source.names if any(source.names) else None,
                    compressors=None,
                    **common,
                )
                document, _ = documents_of(made.metadata)
                document["codecs"] = _v3_filters(metadata) + document["codecs"]
                compressor = None if metadata.compressor is None else metadata.compressor.get_config()
                document["codecs"] += _v3_compressors(compressor, source.itemsize)
                ArrayV3Metadata.from_dict(document)
                return document
            inner, _ = _inner_codecs(source.document)
            filters, compressor = _v2_codecs(inner, where)
            made = zarr.create_array(store, zarr_format=2, filters="auto", compressors=None, **common)
            document, _ = documents_of(made.metadata)
            document["compressor"] = compressor
            if filters:
                document["filters"] = filters
            ArrayV2Metadata.from_dict(document)
            return document
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidSpec(
                f"operation.rechunk.zarrFormat: {where} cannot be written in format {target.format}: {error}"
            ) from error


def _v3_filters(metadata: ArrayV2Metadata) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for codec in metadata.filters or ():
        config = codec.get_config()
        kind = config.pop("id")
        if kind in ("vlen-utf8", "vlen-bytes", "vlen-array"):
            continue  # how strings are stored at all; v3 has its own
        out.append({"name": f"numcodecs.{kind}", "configuration": config})
    if metadata.order == "F" and len(metadata.shape) > 1:
        order = list(reversed(range(len(metadata.shape))))
        out.append({"name": "transpose", "configuration": {"order": order}})
    return out


def _v2_codecs(codecs: list[dict[str, Any]], where: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Filters and compressor of v2 that do what v3 codecs do. Raises InvalidSpec where there are none."""
    from zarr.registry import get_codec_class

    filters: list[dict[str, Any]] = []
    compressor: dict[str, Any] | None = None
    for codec in codecs:
        name, settings = codec["name"], dict(codec.get("configuration") or {})
        kind = get_codec_class(name)
        if name in ("bytes", "vlen-utf8", "vlen-bytes"):
            continue
        if name.startswith("numcodecs.") and issubclass(kind, ArrayArrayCodec):
            filters.append({"id": name.partition(".")[2], **settings})
        elif issubclass(kind, BytesBytesCodec) and compressor is None and name != "crc32c":
            if name == "blosc":
                settings["shuffle"] = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[settings["shuffle"]]
                settings.pop("typesize", None)
            compressor = {"id": name.rpartition(".")[2], **settings}
        else:
            raise InvalidSpec(
                f"operation.rechunk.zarrFormat: {where} has the codec {name}, which format 2 does not know in this "
                "place; keep format 3"
            )
    return filters, compressor


def store_documents(
    zarr_format: int,
    groups: Sequence[tuple[str, dict[str, Any]]],
    arrays: Sequence[tuple[str, dict[str, Any], dict[str, Any]]],
) -> list[tuple[str, bytes]]:
    """Every document of the output by its path, the store's own last: until it is there, there is no store.

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
        warnings.simplefilter("ignore")  # consolidated metadata is not in the specification of v3, but everybody's
        zarr.consolidate_metadata(MemoryStore(held), zarr_format=2 if zarr_format == 2 else 3)
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    return {name: held[name].to_bytes()}
