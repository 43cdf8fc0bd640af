"""Functions of single values over columns, where Arrow has none of its own: a microsecond a row.

Arrays of Python values are made of their text, because `pa.array` would import pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import bitmap, buffer_of
from shuffle_worker.columns.arrow import Array, Values, repeated


def texts(values: Sequence[str | None]) -> Array:
    """Raises ArrowInvalid where it is more text than a column holds: 2 GiB."""
    data = [b"" if value is None else value.encode() for value in values]
    ends = list(accumulate((len(one) for one in data), initial=0))
    if ends[-1] >= 1 << 31:
        raise pa.ArrowInvalid(f"the text of {len(data):,} rows together is {ends[-1]:,} bytes, and 2 GiB fit")
    mask = None
    if None in values:
        mask = bitmap(np.array([value is not None for value in values]))
    found: Array = pa.StringArray.from_buffers(
        len(data), buffer_of(np.array(ends, np.int32)), pa.py_buffer(b"".join(data)), mask
    )
    return found


def each(kind: pa.DataType, function: Callable[..., object], *columns: Array) -> Array:
    """The function's results, in a type that text casts to; null where it gives None, or is given a null."""
    rows: Iterable[tuple[Any, ...]] = zip(*(column.to_pylist() for column in columns), strict=True)
    found = [None if None in row else function(*row) for row in rows]
    made = texts([None if value is None else str(value) for value in found])
    return made if made.type == kind else made.cast(kind)


def arrays(*values: Values) -> list[Array]:
    """Each of them as long as the longest: constants repeated."""
    count = next((len(one) for one in values if isinstance(one, pa.Array)), 1)
    return [repeated(one, count) if isinstance(one, pa.Scalar) else one for one in values]
