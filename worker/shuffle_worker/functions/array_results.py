"""A dict of arrays that a function returned, as an Arrow table: NumPy's, PyTorch's and CuPy's arrays, and Arrow's own.

As in a data frame of pandas, NaN and NaT are nulls; so is what a mask covers. Times of NumPy have no zone: they count
as UTC where the column has one. An array of two dimensions is a column of lists of one length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_protocol.units import some
from shuffle_worker.columns.arrow import call, parts
from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.objects import NotThese, array_of

MOST_TOLD = 5
_REFUSED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, NotThese, TypeError)


def of_arrays(result: dict[Any, Any], wanted: pa.Schema | None) -> pa.Table:
    """wanted: the types of columns whose values do not tell theirs. Raises Differs."""
    lengths = {str(name): _length(name, array) for name, array in result.items()}
    if len(set(lengths.values())) > 1:
        told = some([f"{name!r} has {length:,}" for name, length in lengths.items()], MOST_TOLD)
        raise Differs(f"its arrays differ in length: {told}")
    if len(lengths) < len(result):
        raise Differs("two of its columns have one name as text")
    columns = []
    for name, array in zip(lengths, result.values(), strict=True):
        kind = wanted.field(name).type if wanted is not None and wanted.names.count(name) == 1 else None
        try:
            columns.append(_column(on_cpu(array), kind))
        except _REFUSED as error:
            expected = f", expected {kind}" if kind is not None else ""
            raise Differs(f"{name!r}{expected}: {str(error).splitlines()[0][:200]}") from error
    return pa.Table.from_arrays(columns, names=list(lengths))


def on_cpu(array: Any) -> Any:
    """An array as NumPy has it, or Arrow."""
    if isinstance(array, np.ndarray | pa.Array):
        return array
    if hasattr(array, "detach"):  # of PyTorch
        return array.detach().cpu().numpy()
    return array.get()  # of CuPy


def _length(name: Any, array: Any) -> int:
    if not isinstance(array, pa.Array) and not array.ndim:
        raise Differs(f"{str(name)!r} is a single value; return an array for it: np.array([value])")
    return len(array)


def _column(array: Any, kind: pa.DataType | None) -> Any:
    if isinstance(array, pa.Array):
        return array
    if array.ndim == 2:
        whole = array if isinstance(array, np.ma.MaskedArray) else np.ascontiguousarray(array)  # which has no mask
        inside: Any = pa.array(whole.reshape(-1), from_pandas=True)
        return parts(pa).FixedSizeListArray.from_arrays(inside, array.shape[1])
    if array.ndim > 2:
        raise NotThese(f"it has {array.ndim} dimensions; a column has one, or two for lists of one length")
    if array.dtype == object:
        return array_of(array, kind)
    made: Any = pa.array(array, from_pandas=True)
    if kind is not None and pa.types.is_timestamp(kind) and kind.tz is not None and pa.types.is_timestamp(made.type):
        return call("assume_timezone", made, timezone="UTC").cast(pa.timestamp(made.type.unit, kind.tz))
    return made
