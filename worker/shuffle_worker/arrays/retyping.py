"""An array's document with elements of another type, for what a function returns.

What compresses bytes stays; filters of elements are made for the old type and go, and so does a fill value or a mask
that the new type does not hold.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import zarr
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.registry import get_codec_class
from zarr.storage import MemoryStore

from shuffle_worker.arrays.conversion import inner_codecs
from shuffle_worker.arrays.fills import MASK, mask_as
from shuffle_worker.arrays.metadata import Described
from shuffle_worker.arrays.source import ArraySource, documents_of

PACKING = ("scale_factor", "add_offset")
"""Attributes by which readers unpack elements."""


def retyped(described: Described, source: ArraySource, dtype: np.dtype[Any]) -> Described:
    """described: the output as it would be with the input's elements, not in shards yet."""
    document, attributes = dict(described.document), dict(described.attributes)
    old = source.metadata.dtype.to_native_dtype()
    fill = _converted(source.metadata.fill_value, old, dtype)
    zarr_format = document["zarr_format"]
    plain = _plain(document, zarr_format, dtype, fill)
    notes = list(described.notes)
    lost = f"{source.where}: %s, as {{}} returns {dtype}"
    if zarr_format == 2:
        if document["filters"]:
            notes.append(lost % "its filters are left out")
        document |= {"dtype": plain["dtype"], "filters": None}
        document["fill_value"] = None if fill is None or document["fill_value"] is None else plain["fill_value"]
    else:
        codecs, _ = inner_codecs(document)
        kept, dropped = _for_any_type(codecs, plain["codecs"], dtype)
        if dropped:
            notes.append(lost % f"its filters are left out ({', '.join(dropped)})")
        document |= {"data_type": plain["data_type"], "fill_value": plain["fill_value"], "codecs": kept}
    if MASK in attributes:
        mask = mask_as(attributes.pop(MASK), old, dtype, zarr_format)
        if mask is None:
            notes.append(lost % f"its attribute {MASK} is left out")
        else:
            attributes[MASK] = mask
    return Described(document, attributes, tuple(notes))


def packing_note(source: ArraySource) -> list[str]:
    """A note if a function is given packed elements."""
    found = [name for name in PACKING if name in source.attributes]
    if not found:
        return []
    return [
        f"{source.where}: the function is given elements as they are stored, packed by {' and '.join(found)}, and "
        "readers unpack what it returns"
    ]


def _plain(document: dict[str, Any], zarr_format: int, dtype: np.dtype[Any], fill: Any) -> dict[str, Any]:
    """The document of an array of the type, with nothing else to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types without a specification
        made = zarr.create_array(
            MemoryStore(),
            zarr_format=3 if zarr_format == 3 else 2,
            shape=document["shape"],
            chunks=(1,) * len(document["shape"]),
            dtype=dtype,
            fill_value=fill,
            compressors=None,
            filters=None,
        )
    return documents_of(made.metadata)[0]


def _converted(fill: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    """A fill value in the new type; None if that does not hold it, or if there is none."""
    if fill is None:
        return None
    before = np.array([fill], old)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            after = before.astype(new)
            back = after.astype(old)
        except (TypeError, ValueError, OverflowError):
            return None
    same = back.tobytes() == before.tobytes() or ((back != back).all() and (before != before).all())
    return after[0] if same else None


def _for_any_type(
    codecs: list[dict[str, Any]], plain: list[dict[str, Any]], dtype: np.dtype[Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Codecs of format 3 that fit the new type, and the names of those that do not. plain: those of the new type."""
    first: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    dropped: list[str] = []
    for codec in codecs:
        kind = get_codec_class(codec["name"])
        if issubclass(kind, BytesBytesCodec):
            settings = dict(codec.get("configuration") or {})
            if "typesize" in settings:
                settings["typesize"] = dtype.itemsize
            last.append({**codec, "configuration": settings} if settings else codec)
        elif codec["name"] == "transpose":
            first.append(codec)
        elif issubclass(kind, ArrayArrayCodec) or (issubclass(kind, ArrayBytesCodec) and codec["name"] != "bytes"):
            dropped.append(codec["name"])
    return [*first, *plain, *last], dropped
