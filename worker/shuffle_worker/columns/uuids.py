"""UUIDs as text, and back: `8-4-4-4-12` hexadecimal digits for sixteen bytes. Pure."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Scalar, parts

_WIDTH = 36
_DASHES = (8, 13, 18, 23)
_PLACES = np.array([at for at in range(_WIDTH) if at not in _DASHES])
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def uuid_texts(storage: Array) -> Array:
    """storage: a column of sixteen bytes a row."""
    count = len(storage)
    data: Any = storage.buffers()[1]
    raw = np.zeros(16 * count, np.uint8)
    if data is not None and count:
        raw = np.frombuffer(data, np.uint8, 16 * count, 16 * storage.offset)
    digits = np.empty((count, 32), np.uint8)
    digits[:, 0::2] = _DIGITS[(raw >> 4).reshape(count, 16)]
    digits[:, 1::2] = _DIGITS[(raw & 15).reshape(count, 16)]
    texts = np.full((count, _WIDTH), ord("-"), np.uint8)
    texts[:, _PLACES] = digits
    ends = np.arange(count + 1, dtype=np.int64) * _WIDTH
    valid = parts(storage.is_valid()).buffers()[1] if storage.null_count else None
    found: Array = parts(pa.LargeStringArray).from_buffers(
        count, pa.py_buffer(ends.tobytes()), pa.py_buffer(texts.tobytes()), valid
    )
    return found


def uuid_scalar(text: str, kind: pa.DataType) -> Scalar:
    """kind: sixteen bytes. Raises ValueError where the text is no UUID."""
    data = pa.py_buffer(uuid.UUID(text.strip()).bytes)
    found: Scalar = parts(pa.Array.from_buffers(kind, 1, [None, data]))[0]
    return found
