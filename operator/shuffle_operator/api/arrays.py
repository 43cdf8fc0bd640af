"""`spec.operation.rechunk`: the chunks of Zarr arrays, and a function that is called for each of them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from shuffle_operator.api.types import INT32_MAX, KIB, TIB, ApiModel, FunctionName, UniqueColumns, byte_quantity

_NOT_ZERO: dict[str, Any] = {"not": {"enum": [0]}}


def _not_zero(value: int) -> int:
    if value == 0:
        raise PydanticCustomError("chunk", "expected a length, or -1 for the whole dimension")
    return value


def _length(value: object) -> int | str:
    if value == "Auto":
        return "Auto"
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= INT32_MAX and value != 0:
        return value
    raise PydanticCustomError("chunk", "expected a length, -1 for the whole dimension, or Auto")


ChunkLength = Annotated[
    int | str,
    PlainValidator(_length),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": "^Auto$", "minimum": -1, "maximum": INT32_MAX, **_NOT_ZERO}
    ),
]
ShardLength = Annotated[
    int,
    Field(ge=-1, le=INT32_MAX, json_schema_extra=_NOT_ZERO),
    AfterValidator(_not_zero),
]
Dimension = Annotated[str, Field(min_length=1, max_length=256)]

DEPTH_PATTERN = r"^[0-9]{1,9}:[0-9]{1,9}$"


def _depth(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT32_MAX:
        return value
    if isinstance(value, str) and re.fullmatch(DEPTH_PATTERN[1:-1], value):
        return value
    raise PydanticCustomError(
        "depth", 'expected how many positions the halo has, 0 or more, or before:after in quotes, for example "2:0"'
    )


Depth = Annotated[
    int | str,
    PlainValidator(_depth),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": DEPTH_PATTERN, "minimum": 0, "maximum": INT32_MAX}),
]

_NUMBER = r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?|NaN|[-+]?Infinity"
BOUNDARY_PATTERN = rf"^(Reflect|Periodic|Nearest|None|{_NUMBER})$"


def _boundary(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 53) < value < 1 << 53:
        return value
    if isinstance(value, str) and re.fullmatch(BOUNDARY_PATTERN[2:-2], value):
        return value
    quoted = f', in quotes: "{value:g}"' if isinstance(value, float) and math.isfinite(value) else ""
    raise PydanticCustomError(
        "boundary", f"expected Reflect, Periodic, Nearest, None or a number{quoted or ' (a fraction in quotes)'}"
    )


Boundary = Annotated[
    int | str,
    PlainValidator(_boundary),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": BOUNDARY_PATTERN}),
]

ELEMENT_PATTERN = (
    r"^(bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)|datetime64\[(s|ms|us|ns)\]|timedelta64\[(s|ms|us|ns)\])$"
)
ElementType = Annotated[str, Field(max_length=32, pattern=ELEMENT_PATTERN)]
"""A type of elements, by NumPy's name."""


class Overlap(ApiModel):
    """The halo: how far around its chunk a function sees."""

    depth: dict[Dimension, Depth] = Field(
        min_length=1,
        max_length=64,
        description="How many positions of each dimension the halo has on both sides, by the dimension's name or "
        'position; "before:after" where the sides differ, which only the boundary None allows. At most the length of '
        "the dimension; it may be more than that of a chunk. Dimensions that are not named have none.",
    )
    boundary: Boundary = Field(
        default="None",
        description="What lies beyond the ends of the array, for all dimensions: nothing (None: blocks at the ends are "
        "smaller), the elements mirrored with the last one repeated (Reflect), those of the other end (Periodic), the "
        "last element (Nearest), or a number.",
    )
    boundaries: dict[Dimension, Boundary] | None = Field(
        default=None, max_length=64, description="The same for single dimensions, in place of boundary."
    )
    trim: bool = Field(
        default=True,
        description="Whether the function returns its block with the halo, which is then cut off. false: it returns "
        "its chunk alone.",
    )


class Rechunk(ApiModel):
    """Stores the arrays of a Zarr store in chunks of another shape: one array, or a whole group with its attributes,
    coordinates and consolidated metadata. May call a function for each chunk."""

    chunks: dict[Dimension, ChunkLength] | None = Field(
        default=None,
        max_length=64,
        description='The chunk length of each dimension, by its name, or by its position ("0") where there is one '
        "array: a number, -1 for the whole dimension, or Auto for what comes near targetChunkSize. Dimensions that are "
        "not named keep their chunk length.",
    )
    target_chunk_size: byte_quantity(1 * KIB, 1 * TIB) | None = Field(  # type: ignore[valid-type]
        default=None, description="The size, in memory, of chunks with an Auto length. 64Mi where absent."
    )
    shards: dict[Dimension, ShardLength] | None = Field(
        default=None,
        max_length=64,
        description="The shard length of each dimension, a multiple of its chunk length, or -1 for the whole "
        "dimension: several chunks in one file (Zarr format 3). Dimensions that are not named have shards of one "
        "chunk. Without it arrays that are cut anew have no shards.",
    )
    variables: Annotated[UniqueColumns, Field(min_length=1, max_length=10_000)] | None = Field(
        default=None,
        description="The arrays of a group to write, by their paths in it; their coordinates come along. All where "
        "absent.",
    )
    select: (
        dict[Dimension, Annotated[str, Field(max_length=64, pattern=r"^\s*-?\d*\s*:\s*-?\d*\s*(:\s*\d*\s*)?$")]] | None
    ) = Field(
        default=None,
        max_length=64,
        description="Positions to keep of a dimension, start:stop or start:stop:step as in Python; all where absent. "
        "For example 0:8760 or ::2.",
    )
    zarr_format: Literal["Keep", "V2", "V3"] = Field(
        default="Keep", description="The format of the output store; by default that of the input."
    )
    compression: Literal["Keep", "None", "Zstd", "Lz4", "Gzip", "Blosc"] = Field(
        default="Keep", description="How chunks are compressed; by default with the codecs of the input."
    )
    apply: FunctionName | None = Field(
        default=None,
        description="A function of your own, package.module:function, that is called for each output chunk: it is "
        "given a NumPy array, the chunk with its halo (overlap), and returns one of the same shape. Coordinates are "
        "not given to it. See spec.functions for where it is found.",
    )
    overlap: Overlap | None = Field(
        default=None,
        description="With apply: the halo around each chunk. The function is called for the arrays that have one of "
        "its dimensions.",
    )
    dtype: ElementType | None = Field(
        default=None,
        description="With apply: the type of the elements that it returns, by NumPy's name. Without it the function "
        "is called for a small block before the job starts, and the type of what it returns then counts.",
    )
    timeout_seconds: int = Field(
        default=3600, ge=1, le=INT32_MAX, description="With apply: the longest that one call may take."
    )
