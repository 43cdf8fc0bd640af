"""Blocks of arrays for a function: what it is given and what of its result is sent. The child's side.

Memory: the block, what the function needs, its result, and a copy of what is kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shuffle_worker.functions.differs import Differs

INFO = "block_info"
"""The parameter that gets to know where the block lies."""

KINDS = "biufcmM"
"""NumPy's kinds of types that blocks may have: numbers, truth values, times."""


def given(head: Mapping[str, Any], body: memoryview) -> npt.NDArray[Any]:
    """The block that a frame holds, in the frame's own memory; the function may write to it."""
    elements: npt.NDArray[Any] = np.frombuffer(body, np.uint8).view(np.dtype(head["dtype"]))
    return elements.reshape(tuple(head["shape"]))


def info(head: Mapping[str, Any]) -> dict[Any, Any]:
    """Where a block lies, in the words of Dask's `block_info`, with the array's name and dimensions."""
    place = {
        "shape": tuple(head["array_shape"]),
        "num-chunks": tuple(head["chunks"]),
        "array-location": [tuple(span) for span in head["location"]],
        "chunk-location": tuple(head["chunk"]),
    }
    shape = tuple(stop - start for start, stop in place["array-location"])
    return {0: place, None: {**place, "chunk-shape": shape}, "array": head["array"], "dims": list(head["dims"])}


def kept(result: object, head: Mapping[str, Any]) -> npt.NDArray[Any]:
    """What of a result is sent: without the halo, in C order. Raises Differs."""
    block, keep = tuple(head["shape"]), [slice(*span) for span in head["keep"]]
    inner = tuple(one.stop - one.start for one in keep)
    found = _array(result)
    wanted = block if head["trim"] else inner
    if found.shape != wanted:
        raise Differs(f"it returned an array of shape {found.shape}, expected {wanted}; {_shape_advice(head, inner)}")
    if found.dtype.kind not in KINDS:
        raise Differs(f"it returned elements of the type {found.dtype}, expected numbers, truth values or times")
    native = found.dtype.newbyteorder("=")
    if head["wanted"] and native != np.dtype(head["wanted"]):
        raise Differs(
            f"it returned elements of the type {native}, expected {np.dtype(head['wanted'])}; return "
            f"result.astype({str(np.dtype(head['wanted']))!r}), or declare operation.rechunk.dtype: {native}"
        )
    return np.ascontiguousarray(found[tuple(keep)] if head["trim"] else found, native)


def _shape_advice(head: Mapping[str, Any], inner: Sequence[int]) -> str:
    if not head["trim"]:
        return "with trim: false it returns its chunk without the halo"
    if tuple(head["shape"]) != tuple(inner):
        return "it returns its block with the halo, which is then cut off; trim: false if it cuts it off itself"
    return "a block keeps its shape"


def _array(result: object) -> npt.NDArray[Any]:
    if isinstance(result, np.ma.MaskedArray):
        if np.ma.is_masked(result):
            raise Differs("it returned a masked array, and Zarr has no masks; return result.filled(value)")
        return np.asarray(result.data)
    if isinstance(result, np.ndarray):
        return result
    if not hasattr(result, "__array__"):  # such as xarray's have
        what = "None; does every way through it end in `return`?" if result is None else f"{type(result).__name__}"
        raise Differs(f"it returned {what}, expected a NumPy array")
    return np.asarray(result)
