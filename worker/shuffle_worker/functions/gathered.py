"""Small results of one kind and one layout, kept as their values and joined a thousand at a time.

Converting a data frame to Arrow takes a hundred times as long as what a function does with a group of five rows. So
what functions return is copied, value by value of its columns, and what waits is joined to one frame that is converted
once.

pandas     the arrays that a frame keeps its columns in (blocks of one type each). That is how pandas itself is made,
           and no promise of it: where a frame is made otherwise, whole frames are kept and joined by pandas
Polars     rows that are taken out of a frame: its own copies share its memory, which may be an array of NumPy
arrays     dicts of NumPy's arrays, and of those that NumPy can make of a tensor

Python objects, which the next call may change as well, are copied with all that they hold.

Memory: the copies, whose bytes the parts say.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from shuffle_worker.functions.returned import ResultKind

_OBJECT = np.dtype(object)
_FIXED = frozenset({
    str, bytes, int, float, bool, type(None), decimal.Decimal,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
})  # fmt: skip
"""Types of objects that nobody can change. Others are copied."""


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
            values = [_owned(block.values) for block in blocks]
            layout = [(type(one), one.dtype, block.mgr_locs.as_array.tobytes())
                      for one, block in zip(values, blocks, strict=True)]  # fmt: skip
        except _NotCopied:
            return None
        except AttributeError:
            return _kept_whole(result)
        return KeptPart((result.columns, layout), (values, result.index.names), sum(map(bytes_of, values)))

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        pandas: Any = importlib.import_module("pandas")
        names, layout = parts[0].layout
        if isinstance(layout, tuple):
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


def _kept_whole(result: Any) -> KeptPart | None:
    """A frame that is joined by pandas to others of its types. None if it has objects, which pandas would share."""
    types = tuple(result.dtypes)
    if _OBJECT in types:
        return None
    size = sum(bytes_of(result.iloc[:, at]) for at in range(len(types)))
    return KeptPart((result.columns, types), result.copy(), size)


class PolarsFrames:
    def __init__(self) -> None:
        self._places: dict[int, Any] = {}  # 0, 1, 2, ... for each number of rows

    def kept(self, result: Any) -> KeptPart | None:
        places = self._places.get(len(result))
        if places is None:
            polars: Any = importlib.import_module("polars")
            places = self._places[len(result)] = polars.Series(range(len(result)), dtype=polars.UInt32)
        return KeptPart(None, result[places], int(result.estimated_size()))

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
        try:
            return KeptPart(layout, [_owned(one) for one in arrays], sum(map(bytes_of, arrays)))
        except _NotCopied:
            return None

    def joined(self, parts: Sequence[KeptPart]) -> Any:
        names = [name for name, _, _ in parts[0].layout]
        return {name: np.concatenate([part.values[at] for part in parts]) for at, name in enumerate(names)}


_JOINING: Mapping[ResultKind, Any] = {
    ResultKind.PANDAS: PandasBlocks,
    ResultKind.POLARS: PolarsFrames,
    ResultKind.ARRAYS: ArrayDicts,
}


class _NotCopied(Exception):
    """An object that cannot be copied."""


def _owned(values: Any) -> Any:
    """A copy of an array that changes with nothing else. Raises _NotCopied."""
    if type(values).__name__ == "ArrowExtensionArray":  # its own copies share its memory, which may be NumPy's
        return values.take(np.arange(len(values)))
    made = values.copy()
    if type(made) is np.ndarray and made.dtype == _OBJECT:
        flat = made.reshape(-1)
        for at, value in enumerate(flat):
            if type(value) not in _FIXED:
                try:
                    flat[at] = copy.deepcopy(value)
                except Exception as error:  # objects' own code
                    raise _NotCopied from error
    return made


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
