"""Small results of one kind and one layout, kept as their values and joined a thousand at a time.

Converting a data frame to Arrow takes a hundred times as long as what a function does with a group of five rows. So
what functions return is copied, value by value of its columns, and what waits is joined to one frame that is converted
once.

pandas     the arrays that a frame keeps its columns in (blocks of one type each). That is how pandas itself is made,
           and no promise of it: where a frame is made otherwise, whole frames are kept and joined by pandas
Polars     a frame shares its columns with its copies, until one is changed
arrays     dicts of NumPy's arrays, and of those that NumPy can make of a tensor

Memory: the copies, whose bytes the parts say.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from shuffle_worker.functions.returned import ResultKind

_OBJECT = np.dtype(object)


class KeptPart(NamedTuple):
    """A result as it is kept."""

    layout: Any
    """Results that are joined have equal ones."""
    values: Any
    bytes: int


class Joining(Protocol):
    """How results of one kind are kept and joined."""

    def kept(self, result: Any) -> KeptPart | None:
        """None where it cannot be joined to others."""
        ...

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        """One result of all rows; the parts have one layout. Raises what the library raises."""
        ...


def joining_of(kind: ResultKind) -> Joining | None:
    """None for kinds that are not worth it."""
    made = _JOINING.get(kind)
    return made() if made is not None else None


class PandasBlocks:
    def kept(self, result: Any) -> KeptPart | None:
        if not result.columns.is_unique:
            return None
        try:
            blocks = result._mgr.blocks
            values = [block.values.copy() for block in blocks]
            layout = [(type(one), one.dtype, block.mgr_locs.as_array.tobytes())
                      for one, block in zip(values, blocks, strict=True)]  # fmt: skip
        except AttributeError:
            return _kept_whole(result)
        return KeptPart((result.columns, layout), (values, result.index.names), sum(map(bytes_of, values)))

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        pandas: Any = importlib.import_module("pandas")
        names, layout = parts[0].layout
        if layout is None:
            return pandas.concat([part.values for part in parts], ignore_index=len(parts) > 1)
        columns: list[Any] = [None] * len(names)
        for at, (kind, _, places) in enumerate(layout):
            whole = _concatenated(kind, [part.values[0][at] for part in parts])
            for row, place in enumerate(np.frombuffer(places, np.intp).tolist()):
                one = whole[row] if whole.ndim == 2 else whole
                columns[place] = pandas.Series(one, dtype=one.dtype, copy=False)  # without it objects become times
        made = pandas.DataFrame(dict(enumerate(columns)), copy=False)
        made.columns = names
        if len(parts) == 1:  # an error is to say which index is no column
            indexes = parts[0].values[1]
            made.index = pandas.MultiIndex.from_arrays([range(len(made))] * len(indexes), names=indexes)
        return made


def _concatenated(kind: type, values: list[Any]) -> Any:
    """The values of one block of many frames. pandas' own arrays are of one dimension, or of two as NumPy's."""
    if kind is np.ndarray:
        return np.concatenate(values, axis=1)
    if values[0].ndim == 2:
        return kind._concat_same_type(values, axis=1)  # type: ignore[attr-defined]
    return kind._concat_same_type(values)  # type: ignore[attr-defined]


def _kept_whole(result: Any) -> KeptPart:
    """A frame that is joined to others by pandas."""
    types = tuple(result.dtypes)
    size = sum(bytes_of(result.iloc[:, at]) for at in range(len(types)))
    return KeptPart((result.columns, None), result.copy(), size)


class PolarsFrames:
    def kept(self, result: Any) -> KeptPart | None:
        return KeptPart(None, result.clone(), int(result.estimated_size()))

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        """Polars itself refuses frames of other columns or types."""
        polars: Any = importlib.import_module("polars")
        return polars.concat([part.values for part in parts], how="vertical", rechunk=True)


class ArrayDicts:
    """Of NumPy's arrays; others are converted one by one."""

    def kept(self, result: Any) -> KeptPart | None:
        arrays = list(result.values())
        if not all(type(one) is np.ndarray and one.ndim for one in arrays):
            return None
        rows = len(arrays[0])
        if any(len(one) != rows for one in arrays):
            return None
        layout = [(name, one.dtype, one.shape[1:]) for name, one in result.items()]
        return KeptPart(layout, [one.copy() for one in arrays], sum(map(bytes_of, arrays)))

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        names = [name for name, _, _ in parts[0].layout]
        return {name: np.concatenate([part.values[at] for part in parts]) for at, name in enumerate(names)}


_JOINING: Mapping[ResultKind, Any] = {
    ResultKind.PANDAS: PandasBlocks,
    ResultKind.POLARS: PolarsFrames,
    ResultKind.ARRAYS: ArrayDicts,
}


def same_layout(one: Any, other: Any) -> bool:
    """Whether the layouts of two parts of one kind are equal."""
    if isinstance(one, tuple) and isinstance(other, tuple):  # pandas: an index does not compare to a truth value
        return one[1] == other[1] and bool(one[0].equals(other[0])) and one[0].dtype == other[0].dtype
    return bool(one == other)


def bytes_of(values: Any) -> int:
    """About how many bytes a column or an object holds."""
    kind = getattr(values, "dtype", None)
    if kind is not None and kind != _OBJECT:
        return int(values.nbytes)
    if isinstance(values, Mapping):
        return sys.getsizeof(values) + sum(map(bytes_of, values.keys())) + sum(map(bytes_of, values.values()))
    if kind is not None or isinstance(values, list | tuple | set | frozenset):
        inside = values.ravel() if isinstance(values, np.ndarray) else values
        return 8 * len(inside) + sum(map(bytes_of, inside))
    return sys.getsizeof(values)
