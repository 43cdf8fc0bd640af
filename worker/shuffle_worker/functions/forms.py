"""What a table becomes for a function that takes data frames or arrays: the one place that knows their libraries.

A `GivenForm` converts many groups at once and gives each its part, because a conversion costs a hundred times a slice.
A function may change what it is given: parts do not overlap, and nothing else is made of the whole.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import call, parts
from shuffle_worker.functions.shapes import Shape

MOST_INDEXES = 1024
"""Indexes of data frames that are kept, one for each length."""


class NotGiven(Exception):
    """The rows cannot have the shape that the function asks for."""


class GivenForm(Protocol):
    """nulls_change: a null changes what other values of its column become (an integer becomes a float)."""

    nulls_change: bool

    def whole(self, table: pa.Table) -> Any:
        """Raises NotGiven."""
        ...

    def part(self, whole: Any, begin: int, end: int) -> Any: ...


def form_of(shape: Shape, gpu: bool) -> GivenForm | None:
    """None where the function takes Arrow. gpu: tensors are on the GPU. Raises ImportError."""
    made = _FORMS.get(shape)
    return made(gpu) if made is not None else None


class PandasForm:
    nulls_change = True

    def __init__(self, gpu: bool) -> None:  # noqa: ARG002
        self._pandas: Any = importlib.import_module("pandas")
        self._copies = int(self._pandas.__version__.partition(".")[0]) < 3  # pandas 3 copies slices on write
        self._indexes: dict[int, Any] = {}

    def whole(self, table: pa.Table) -> Any:
        try:
            return table.to_pandas(ignore_metadata=True)
        except _REFUSED as error:
            raise _not_given("pandas", error) from error

    def part(self, whole: Any, begin: int, end: int) -> Any:
        frame = whole.iloc[begin:end]
        if self._copies:
            frame = frame.copy()
        frame.index = self._index(end - begin)
        return frame

    def _index(self, rows: int) -> Any:
        """0, 1, 2, ...; indexes do not change, so frames of one length share one."""
        index = self._indexes.get(rows)
        if index is None:
            index = self._pandas.RangeIndex(rows)
            if len(self._indexes) < MOST_INDEXES:
                self._indexes[rows] = index
        return index


class PolarsForm:
    nulls_change = False

    def __init__(self, gpu: bool) -> None:  # noqa: ARG002
        self._polars: Any = importlib.import_module("polars")

    def whole(self, table: pa.Table) -> Any:
        try:
            return self._polars.from_arrow(table)
        except Exception as error:  # its own errors, and panics of its engine, have no common class
            raise _not_given("Polars", error) from error

    def part(self, whole: Any, begin: int, end: int) -> Any:
        return whole.slice(begin, end - begin)


class LazyForm(PolarsForm):
    def part(self, whole: Any, begin: int, end: int) -> Any:
        return whole.slice(begin, end - begin).lazy()


class CudfForm:
    nulls_change = False

    def __init__(self, gpu: bool) -> None:  # noqa: ARG002
        self._cudf: Any = importlib.import_module("cudf")

    def whole(self, table: pa.Table) -> Any:
        try:
            return self._cudf.DataFrame.from_arrow(table)
        except Exception as error:  # of CUDA, of Arrow, of cuDF
            raise _not_given("cuDF", error) from error

    def part(self, whole: Any, begin: int, end: int) -> Any:
        return whole.iloc[begin:end].reset_index(drop=True)


class ArraysForm:
    """Arrays of NumPy by the names of their columns."""

    nulls_change = True

    def __init__(self, gpu: bool) -> None:
        self._gpu = gpu

    def whole(self, table: pa.Table) -> Any:
        return {name: self._own(name, column) for name, column in zip(table.column_names, table.columns, strict=True)}

    def part(self, whole: Any, begin: int, end: int) -> Any:
        return {name: array[begin:end] for name, array in whole.items()}

    def _own(self, name: str, column: Any) -> Any:  # noqa: ARG002
        """The column's values in an array that may be written to."""
        try:
            found = _numpy(column)
        except _REFUSED as error:
            raise _not_given("NumPy", error) from error
        return found if found.flags.writeable else found.copy()


class TensorsForm(ArraysForm):
    """The same in tensors of PyTorch."""

    def __init__(self, gpu: bool) -> None:
        super().__init__(gpu)
        self._torch: Any = importlib.import_module("torch")

    def _own(self, name: str, column: Any) -> Any:
        array = super()._own(name, column)
        try:
            tensor = self._torch.from_numpy(_numbers(array))
            return tensor.to("cuda") if self._gpu else tensor
        except TypeError as error:
            raise NotGiven(_no_numbers(name, column.type, "torch.Tensor")) from error


class CupyForm(ArraysForm):
    """The same in arrays of CuPy."""

    def __init__(self, gpu: bool) -> None:
        super().__init__(gpu)
        self._cupy: Any = importlib.import_module("cupy")

    def _own(self, name: str, column: Any) -> Any:
        try:
            return self._cupy.asarray(_numbers(super()._own(name, column)))
        except TypeError as error:
            raise NotGiven(_no_numbers(name, column.type, "cupy.ndarray")) from error


_FORMS: Mapping[Shape, Any] = {
    Shape.FRAME: PandasForm,
    Shape.POLARS: PolarsForm,
    Shape.LAZY: LazyForm,
    Shape.CUDF: CudfForm,
    Shape.ARRAYS: ArraysForm,
    Shape.TENSORS: TensorsForm,
    Shape.CUPY: CupyForm,
}
_REFUSED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


def _numpy(column: Any) -> Any:
    """A column as NumPy has it; lists of one length, of numbers and without a null, as rows of one array."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = parts(pa).concat_arrays(whole.chunks)
    if pa.types.is_fixed_size_list(whole.type) and not whole.null_count:
        inside = call("list_flatten", whole)
        if pa.types.is_primitive(inside.type) and not inside.null_count:
            return inside.to_numpy(zero_copy_only=False).reshape(len(whole), whole.type.list_size)
    return whole.to_numpy(zero_copy_only=False)


def _numbers(array: Any) -> Any:
    """Raises TypeError where an array is of anything but numbers and booleans."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"values of {array.dtype}")
    return np.ascontiguousarray(array)


def _no_numbers(name: str, kind: pa.DataType, library: str) -> str:
    return (
        f"the column {name!r} is {kind}, which no {library} holds (numbers and booleans are, with nulls as NaN); leave "
        "it out with inputs[].columns, or compute a number of it with inputs[].compute"
    )


def _not_given(library: str, error: Exception) -> NotGiven:
    return NotGiven(f"{library} cannot hold its rows: {str(error).splitlines()[0]}; annotate it as pa.Table")
