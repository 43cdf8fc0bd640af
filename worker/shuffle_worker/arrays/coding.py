"""One array's chunks as bytes and as elements: Zarr's codecs, and the key of each chunk.

A `Coding` is made from an array's document. Elements of fixed size are copied as plain words of their size (`carrier`),
so dates, records and complex numbers cost as much as integers and no bit changes. Strings and byte strings of variable
length stay objects.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.abc.codec import CodecPipeline
from zarr.codecs import BytesCodec
from zarr.codecs.sharding import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.errors import UnstableSpecificationWarning

from shuffle_protocol.errors import DataError
from shuffle_worker.arrays.record import ArrayPlan
from shuffle_worker.arrays.steady import steady_pipeline
from shuffle_worker.arrays.store import Codecs

# The input may have types without a specification in format 3; Zarr warned when they were written.
warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)

Array = npt.NDArray[Any]

_WORDS = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}

ASSUMED_BYTES = 64
"""Assumed size of a string of variable length when memory is planned."""


def parse(document: bytes) -> ArrayV2Metadata | ArrayV3Metadata:
    """An array's document as Zarr parses it. Raises Zarr's errors."""
    data = json.loads(document)
    return ArrayV2Metadata.from_dict(data) if data["zarr_format"] == 2 else ArrayV3Metadata.from_dict(data)


def _spec(metadata: ArrayV2Metadata | ArrayV3Metadata) -> ArraySpec:
    """Of a whole object. Zarr 3.1 has a method for it that 3.4 has not."""
    grid: Any = None if isinstance(metadata, ArrayV2Metadata) else metadata.chunk_grid
    shape: tuple[int, ...] = metadata.chunks if isinstance(metadata, ArrayV2Metadata) else grid.chunk_shape
    return ArraySpec(
        shape=shape,
        dtype=metadata.dtype,
        fill_value=metadata.fill_value,
        config=ArrayConfig(order="C", write_empty_chunks=False),
        prototype=default_buffer_prototype(),
    )


def carrier(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type as which elements are copied, bit for bit."""
    if is_variable(dtype):
        return dtype
    return np.dtype(_WORDS.get(dtype.itemsize, f"V{dtype.itemsize}"))


def is_variable(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "OT"


def sent_type(plan: ArrayPlan, codecs: Codecs) -> np.dtype[Any]:
    """The type in which an array's elements are sent: the output's, or what the function is given."""
    return np.dtype(plan.called.given) if plan.called is not None else Coding(plan.target, codecs).dtype


def element_bytes(dtype: np.dtype[Any]) -> int:
    return ASSUMED_BYTES if is_variable(dtype) else dtype.itemsize


class Coding:
    """Reads and writes the chunks (or shards) of one array. Several threads call it.

    dtype: type of the elements. fill: value of missing elements. shape: shape of a whole object as it is encoded.
    plain: an object's bytes are its elements, without any codec.
    """

    def __init__(self, document: bytes, codecs: Codecs) -> None:
        self.metadata = parse(document)
        self._codecs = codecs
        order = self.metadata.order if isinstance(self.metadata, ArrayV2Metadata) else "C"
        ndim = len(self.metadata.shape)
        spec = _spec(self.metadata)
        self.shape: tuple[int, ...] = tuple(spec.shape)
        # Codecs get elements in memory order, because numcodecs' filters mix up any other order.
        self._turned = order == "F" and ndim > 1
        self._spec = replace(spec, shape=self.shape[::-1]) if self._turned else spec
        self._pipeline: CodecPipeline = steady_pipeline(self.metadata)
        self.dtype: np.dtype[Any] = self._spec.dtype.to_native_dtype()
        fill = self._spec.fill_value
        self.fill: Any = self._spec.dtype.default_scalar() if fill is None else fill
        self.plain = not is_variable(self.dtype) and self._uncoded()

    def _uncoded(self) -> bool:
        """Whether no codec changes the elements, their order, or the order of their bytes."""
        found = self.metadata
        if isinstance(found, ArrayV2Metadata):
            return not found.filters and found.compressor is None and not self._turned
        (first, *rest) = found.codecs
        if rest or not isinstance(first, BytesCodec) or self.dtype.hasobject or self.dtype.fields is not None:
            return False
        return self.dtype.itemsize == 1 or (
            self.dtype.isnative and first.endian is not None and first.endian.value == sys.byteorder
        )

    @property
    def sharding(self) -> ShardingCodec | None:
        """The codec that cuts objects into chunks, if they are shards that can be read in part."""
        if isinstance(self.metadata, ArrayV3Metadata):
            (first, *rest) = self.metadata.codecs
            if isinstance(first, ShardingCodec) and not rest:
                return first
        return None

    @property
    def decodes_in_place(self) -> bool:
        """Whether decoding copies nothing: the elements are a view of the bytes."""
        if isinstance(self.metadata, ArrayV3Metadata) and not is_variable(self.dtype):
            return len(self.metadata.codecs) == 1 and isinstance(self.metadata.codecs[0], BytesCodec)
        return self.plain

    @property
    def item_bytes(self) -> int:
        """Bytes of a decoded object."""
        return math.prod(self.shape) * element_bytes(self.dtype)

    def key(self, place: tuple[int, ...]) -> str:
        return self.metadata.encode_chunk_key(place)

    def decode(self, data: bytes | memoryview, path: str) -> Array:
        """The elements of a whole object. They may share memory with `data`, so do not write to them."""
        try:
            if self.plain:
                return np.frombuffer(data, np.uint8).view(self.dtype).reshape(self.shape)
            whole = self._spec.prototype.buffer.from_array_like(np.frombuffer(data, np.uint8))
            (found,) = self._codecs.run(self._pipeline.decode([(whole, self._spec)]))
            assert found is not None
            elements = np.asarray(found.as_ndarray_like())
            return elements.T if self._turned else elements
        except MemoryError:
            raise
        except Exception as error:
            raise self.no_chunk(path, error) from error

    def no_chunk(self, path: str, why: Exception) -> DataError:
        """For bytes that are none."""
        return DataError(f"{path}: is no chunk of shape {self.shape} and type {self.dtype}: {why}")

    def encode(self, elements: Any) -> bytes | memoryview:
        """The bytes of a whole object in C order. Raises DataError if the codecs cannot hold its values."""
        if self.plain:
            return memoryview(elements.reshape(-1).view(np.uint8))
        ordered: Any = np.ascontiguousarray(elements.T) if self._turned else elements
        whole = self._spec.prototype.nd_buffer.from_ndarray_like(ordered)
        try:
            (found,) = self._codecs.run(self._pipeline.encode([(whole, self._spec)]))
        except MemoryError:
            raise
        except Exception as error:
            raise DataError(
                f"a chunk of shape {self.shape} and type {self.dtype} cannot be encoded by the output's codecs: {error}"
            ) from error
        if found is None:  # a shard of empty chunks
            return b""
        return np.ascontiguousarray(found.as_numpy_array()).view(np.uint8).data

    def is_empty(self, elements: Array) -> bool:
        """Whether all elements equal the fill value, bit for bit. Such an object is not stored. Never true if the
        document has no fill value (format 2): then readers may take any value for missing elements."""
        if self._spec.fill_value is None:
            return False
        if not elements.size:
            return True
        if is_variable(self.dtype):
            return bool((elements == self.fill).all())
        words = elements.reshape(-1).view(carrier(self.dtype))
        fill = np.array([self.fill], self.dtype).view(np.uint8).tobytes()
        return words[:1].tobytes() == fill and words[-1:].tobytes() == fill and _repeats(words, fill)


def fills_differ(source: Coding, target: Coding) -> bool:
    """Whether missing elements read differently in the output. If the input has no fill value (format 2), readers may
    take any value, so the output may choose one; but it may not lose one that the input has."""
    if target.metadata.fill_value is None:
        return source.metadata.fill_value is not None
    if is_variable(target.dtype):
        return bool(source.fill != target.fill)
    one, other = (np.array([coding.fill]).astype(target.dtype) for coding in (source, target))
    return one.tobytes() != other.tobytes()


def _repeats(words: Array, fill: bytes) -> bool:
    size = len(fill)
    plain = words.view(np.uint8).reshape(-1, size)
    wanted = np.frombuffer(fill, np.uint8)
    step = max((1 << 20) // size, 1)
    return all(bool((plain[at : at + step] == wanted).all()) for at in range(0, len(plain), step))
