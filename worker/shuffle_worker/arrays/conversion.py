"""An array's document in the other format of Zarr, with codecs that do the same in both.

    format 2   filters, one after the other, then one compressor; `order` says how a chunk lies in memory
    format 3   codecs from array to array, one from array to bytes, then from bytes to bytes

If only one format has a codec or filter, the error names it.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import zarr
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec, Codec
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.core.metadata import ArrayV2Metadata
from zarr.registry import get_codec_class
from zarr.storage import MemoryStore

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.arrays.coding import Coding
from shuffle_worker.arrays.source import ArraySource, documents_of
from shuffle_worker.arrays.store import Codecs

Config = dict[str, Any]

_STRINGS = ("vlen-utf8", "vlen-bytes", "vlen-array")
"""Filters that store strings in format 2; format 3 has codecs of its own for them."""


def converted(
    source: ArraySource, zarr_format: int, shape: tuple[int, ...], chunks: tuple[int, ...], compressed: bool
) -> dict[str, Any]:
    """The document in the other format, without attributes. Its codecs do the same as before. compressed: keep those
    that compress. Raises InvalidSpec."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr warns of types without a specification; they are the input's
        try:
            document = _plain_document(source, zarr_format, shape, chunks)
            if isinstance(source.metadata, ArrayV2Metadata):
                document["codecs"] = _v3_codecs(source, source.metadata, document["codecs"], compressed)
            else:
                codecs, _ = inner_codecs(source.document)
                if not compressed:
                    codecs = recompressed(codecs, None, source.itemsize)
                filters, compressor, order = _v2_codecs(codecs, len(shape))
                document |= {"compressor": compressor, "order": order}
                document["filters"] = [*filters, *(document["filters"] or ())] or None
            _try(document)
        except Exception as error:  # Zarr and numcodecs raise errors of any kind
            raise InvalidSpec(
                f"operation.rechunk.zarrFormat: {source.where} cannot be written in format {zarr_format}: {error}; "
                f"keep format {source.format}"
            ) from error
        return document


def _plain_document(
    source: ArraySource, zarr_format: int, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> dict[str, Any]:
    metadata = source.metadata
    made = zarr.create_array(
        MemoryStore(),
        zarr_format=3 if zarr_format == 3 else 2,
        shape=shape,
        dtype=metadata.dtype,
        chunks=chunks,
        fill_value=metadata.fill_value if metadata.fill_value is not None else metadata.dtype.default_scalar(),
        dimension_names=source.labels if zarr_format == 3 else None,
        filters="auto",
        compressors=None,
    )
    return documents_of(made.metadata)[0]


def _try(document: dict[str, Any]) -> None:
    """Put a few elements through the codecs, because only running them shows whether they fit each other. Raises their
    errors."""
    few = [2] * len(document["shape"])
    small = {**document, "shape": few}
    if document["zarr_format"] == 2:
        small["chunks"] = few
    else:
        small["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": few}}
    coding = Coding(json.dumps(small).encode(), codecs := Codecs())
    try:
        coding.decode(coding.encode(np.full(few, coding.fill, coding.dtype)), "a few elements")
    finally:
        codecs.close()


def inner_codecs(document: dict[str, Any]) -> tuple[list[Config], Config]:
    """The codecs of a format 3 document (those inside the shards, if it has shards), and the settings of a shard's
    index."""
    codecs = list(document["codecs"])
    index: Config = {
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        inside = codecs[0]["configuration"]
        return list(inside["codecs"]), {key: inside[key] for key in index if key in inside}
    return codecs, index


def recompressed(codecs: list[Config], compressor: Config | None, itemsize: int) -> list[Config]:
    """Codecs of format 3 with another compressor, which is given in format 2's form."""
    kept = [codec for codec in codecs if not issubclass(get_codec_class(codec["name"]), BytesBytesCodec)]
    return kept if compressor is None else [*kept, _v3_codec(compressor, itemsize)]


# -- to format 3 -----------------------------------------------------------------------------------------------------


def _v3_codecs(
    source: ArraySource, metadata: ArrayV2Metadata, to_bytes: list[Config], compressed: bool
) -> list[Config]:
    """to_bytes: the codecs with which Zarr stores elements of the type in format 3."""
    codecs = (*(metadata.filters or ()), metadata.compressor if compressed else None)
    applied = [codec.get_config() for codec in codecs if codec is not None]
    found = [_v3_codec(config, source.itemsize) for config in applied if config["id"] not in _STRINGS]
    kinds = [_kind(codec) for codec in found]
    if ArrayBytesCodec in kinds:
        to_bytes = [codec for codec, kind in zip(found, kinds, strict=True) if kind is ArrayBytesCodec]
    ndim = len(metadata.shape)
    turned: list[Config] = []
    if metadata.order == "F" and ndim > 1:
        turned = [{"name": "transpose", "configuration": {"order": list(reversed(range(ndim)))}}]
    first, last = _split(found, kinds)
    return [*turned, *first, *to_bytes, *last]  # filters may change the shape of their input


def _split(codecs: list[Config], kinds: list[type[Codec]]) -> tuple[list[Config], list[Config]]:
    """The codecs of arrays and those of bytes. Raises ValueError if one of arrays follows one of bytes."""
    order = {ArrayArrayCodec: 0, ArrayBytesCodec: 1, BytesBytesCodec: 2}
    places = [order[kind] for kind in kinds]
    if places != sorted(places):
        raise ValueError("it filters bytes before it filters elements, which has no counterpart")
    return codecs[: places.count(0)], codecs[len(codecs) - places.count(2) :]


def _kind(codec: Config) -> type[Codec]:
    found = get_codec_class(codec["name"])
    return next(kind for kind in (ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec) if issubclass(found, kind))


def _v3_codec(config: Config, itemsize: int) -> Config:
    """The codec of format 3 that does the same as a filter or compressor of format 2. Raises ValueError."""
    settings = {key: value for key, value in config.items() if key != "id"}
    kind = config["id"]
    if kind == "zstd":
        level, checksum = settings.get("level", 0), bool(settings.get("checksum"))
        return {"name": "zstd", "configuration": {"level": level, "checksum": checksum}}
    if kind == "gzip":
        return {"name": "gzip", "configuration": {"level": settings.get("level", 5)}}
    if kind == "blosc":
        return _v3_blosc(settings, itemsize)
    name = f"numcodecs.{kind}"
    try:
        get_codec_class(name)
    except KeyError as error:
        raise ValueError(f"format 3 has nothing that does what {kind} does") from error
    return {"name": name, "configuration": settings}


def _v3_blosc(settings: Config, itemsize: int) -> Config:
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
    return made.to_dict()


# -- to format 2 -----------------------------------------------------------------------------------------------------


def _v2_codecs(codecs: list[Config], ndim: int) -> tuple[list[Config], Config | None, str]:
    """Filters, compressor and order of format 2 that do the same as codecs of format 3. Raises ValueError."""
    order = "C"
    applied: list[Config] = []
    for at, codec in enumerate(codecs):
        name, settings = codec["name"], dict(codec.get("configuration") or {})
        if name in ("bytes", "vlen-utf8", "vlen-bytes"):
            continue
        if name == "transpose" and at == 0:
            order = _order(settings["order"], ndim)
        else:
            applied.append(_v2_codec(name, settings))
    arrays = sum(_kind(codec) is ArrayArrayCodec and codec["name"] != "transpose" for codec in codecs)
    if len(applied) == arrays:
        return applied, None, order
    return applied[:-1], applied[-1], order


def _order(given: Any, ndim: int) -> str:
    """Format 2's `order` for chunks that are stored with their axes in another order. Raises ValueError."""
    axes = list(given)
    if axes == list(range(ndim)):
        return "C"
    if axes == list(reversed(range(ndim))):
        return "F"
    raise ValueError(f"it stores its axes in the order {axes}, and format 2 knows only that and the reverse")


def _v2_codec(name: str, settings: Config) -> Config:
    """The filter or compressor of format 2 that does the same as a codec of format 3. Raises ValueError."""
    if name == "blosc":
        shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[settings["shuffle"]]
        plain = {key: value for key, value in settings.items() if key != "typesize"}
        return {"id": "blosc", **plain, "shuffle": shuffle}
    if name in ("zstd", "gzip"):
        return {"id": name, **settings}
    if name.startswith("numcodecs."):
        return {"id": name.partition(".")[2], **settings}
    raise ValueError(f"it has the codec {name}, which format 2 does not know in this place")
