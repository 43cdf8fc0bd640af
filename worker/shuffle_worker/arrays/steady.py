"""Codecs whose bytes depend on the elements alone.

gzip writes the time into its output. A chunk must give the same bytes whenever it is written, so the time is set to
zero, which means unknown (RFC 1952).

numcodecs' filters take elements in memory order, and transposing an array does not move them. So they would encode in
another order than they decode. Therefore transposed arrays are copied.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import numpy as np
from zarr.abc.codec import Codec, CodecPipeline
from zarr.codecs import GzipCodec, ShardingCodec, TransposeCodec
from zarr.core.array import create_codec_pipeline
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.registry import get_codec_class, get_pipeline_class

_TIME = slice(4, 8)


class SteadyGzip(GzipCodec):
    """Of format 3."""

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        found = await super()._encode_single(chunk_bytes, chunk_spec)
        if found is None:
            return None
        return chunk_spec.prototype.buffer.from_bytes(_timeless(found.to_bytes()))


class SteadyGZip(numcodecs.GZip):  # type: ignore[misc]
    """Of format 2."""

    def encode(self, buf: Any) -> bytes:
        return _timeless(super().encode(buf))


class SteadyTranspose(TransposeCodec):
    """Of format 3."""

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        found = await super()._encode_single(chunk_array, chunk_spec)
        if found is None:
            return None
        ordered: Any = np.ascontiguousarray(found.as_numpy_array())
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(ordered)


def _timeless(data: bytes) -> bytes:
    out = bytearray(data)
    out[_TIME] = bytes(4)
    return bytes(out)


def steady_pipeline(metadata: ArrayV2Metadata | ArrayV3Metadata) -> CodecPipeline:
    """An array's codecs, with steady ones in place of those that are not."""
    if isinstance(metadata, ArrayV3Metadata):
        return get_pipeline_class().from_codecs([_steady(codec) for codec in metadata.codecs])
    filters = tuple(_steady_filter(codec) for codec in metadata.filters or ()) or None
    return create_codec_pipeline(replace(metadata, filters=filters, compressor=_steady_filter(metadata.compressor)))


def _steady_filter(codec: Any) -> Any:
    return SteadyGZip(codec.level) if isinstance(codec, numcodecs.GZip) else codec


def _steady(codec: Codec) -> Codec:
    if isinstance(codec, GzipCodec):
        return SteadyGzip(level=codec.level)
    if isinstance(codec, get_codec_class("numcodecs.gzip")):
        settings: Any = codec.to_dict().get("configuration")
        return SteadyGzip(level=settings.get("level", 1))
    if isinstance(codec, TransposeCodec):
        return SteadyTranspose(order=codec.order)
    if isinstance(codec, ShardingCodec):
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=[_steady(inner) for inner in codec.codecs],
            index_codecs=codec.index_codecs,
            index_location=codec.index_location,
        )
    return codec
