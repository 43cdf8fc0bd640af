"""What a function takes, by the annotation of its first parameter.

    pa.Table, or none      the group as an Arrow table
    pa.RecordBatch         the same in one record batch
    Iterator[pa.RecordBatch], Iterable[...], pa.RecordBatchReader
                           the group batch by batch: for groups that memory does not hold
    pd.DataFrame           as pandas converts it by default; the index is 0, 1, 2, ...
    pl.DataFrame, pl.LazyFrame, cudf.DataFrame
    dict[str, np.ndarray], dict[str, torch.Tensor], dict[str, cupy.ndarray]
                           an array for each column, by its name

Annotations may be text (`from __future__ import annotations`) whose names exist only for type checkers; then the text
itself decides. Results are checked when the function returns them: see `conform.py`.
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import typing
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec


class Shape(StrEnum):
    TABLE = "pa.Table"
    FRAME = "pd.DataFrame"
    BATCH = "pa.RecordBatch"
    BATCHES = "Iterator[pa.RecordBatch]"
    READER = "pa.RecordBatchReader"
    POLARS = "pl.DataFrame"
    LAZY = "pl.LazyFrame"
    ARRAYS = "dict[str, np.ndarray]"
    CUDF = "cudf.DataFrame"
    TENSORS = "dict[str, torch.Tensor]"
    CUPY = "dict[str, cupy.ndarray]"


STREAMED = (Shape.BATCHES, Shape.READER)
"""Shapes that the function gets batch by batch, so that a group need not fit in memory."""

ON_GPU = (Shape.CUDF, Shape.CUPY)
"""Shapes that need a GPU, whatever the job says."""

LIBRARY = {
    Shape.FRAME: "pandas",
    Shape.POLARS: "polars",
    Shape.LAZY: "polars",
    Shape.CUDF: "cudf",
    Shape.TENSORS: "torch",
    Shape.CUPY: "cupy",
}
"""What must be installed, beside Arrow and NumPy."""

_ITERABLES = ("Iterator", "Iterable", "Generator")
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_CLASSES = {
    ("pandas", "DataFrame"): Shape.FRAME,
    ("polars", "DataFrame"): Shape.POLARS,
    ("polars", "LazyFrame"): Shape.LAZY,
    ("cudf", "DataFrame"): Shape.CUDF,
}
_ARRAYS = {("numpy", "ndarray"): Shape.ARRAYS, ("torch", "Tensor"): Shape.TENSORS, ("cupy", "ndarray"): Shape.CUPY}
_TEXTS = {
    "Table": Shape.TABLE, "RecordBatch": Shape.BATCH, "RecordBatchReader": Shape.READER,
    "DataFrame": Shape.FRAME, "pd.DataFrame": Shape.FRAME, "pandas.DataFrame": Shape.FRAME,
    "pl.DataFrame": Shape.POLARS, "polars.DataFrame": Shape.POLARS,
    "LazyFrame": Shape.LAZY, "pl.LazyFrame": Shape.LAZY, "polars.LazyFrame": Shape.LAZY,
    "cudf.DataFrame": Shape.CUDF,
}  # fmt: skip
_ARRAY_TEXTS = {
    "ndarray": Shape.ARRAYS, "np.ndarray": Shape.ARRAYS, "numpy.ndarray": Shape.ARRAYS, "NDArray": Shape.ARRAYS,
    "npt.NDArray": Shape.ARRAYS, "numpy.typing.NDArray": Shape.ARRAYS,
    "Tensor": Shape.TENSORS, "torch.Tensor": Shape.TENSORS,
    "cp.ndarray": Shape.CUPY, "cupy.ndarray": Shape.CUPY,
}  # fmt: skip


def shape_of(function: Callable[..., Any], name: str, default: Shape = Shape.TABLE) -> Shape:
    """default: where there is no annotation. Raises InvalidSpec if the function cannot be called with one table, or is
    annotated with something else."""
    parameter = _only_parameter(function, name)
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return default
    annotation = _resolved(function, parameter)
    if annotation in (Any, object):
        return default
    shape = _of_text(annotation) if isinstance(annotation, str) else _of_type(annotation)
    if shape is None:
        shown = annotation if isinstance(annotation, str) else _shown(annotation)
        raise InvalidSpec(
            f"{name}: its parameter {parameter.name!r} is annotated as {shown}; a group is given as one of "
            f"{', '.join(Shape)}"
        )
    return shape


def _shown(annotation: Any) -> str:
    return str(annotation) if typing.get_origin(annotation) else getattr(annotation, "__qualname__", str(annotation))


def takes_block(function: Callable[..., Any], name: str, info: str) -> bool:
    """Whether a function over arrays has the parameter `info`. Raises InvalidSpec if it cannot be called with one
    array."""
    parameter = _only_parameter(function, name, "the array", info)
    if parameter is not None and parameter.annotation is not inspect.Parameter.empty:
        annotation = _resolved(function, parameter)
        shape = _of_text(annotation) if isinstance(annotation, str) else _of_type(annotation)
        if shape is not None and annotation not in (Any, object):
            raise InvalidSpec(
                f"{name}: its parameter {parameter.name!r} is annotated as {shape}; a block of an array is given as "
                "np.ndarray"
            )
    try:
        return info in inspect.signature(function).parameters
    except (ValueError, TypeError):
        return False


def _only_parameter(
    function: Callable[..., Any], name: str, what: str = "the table", beside: str = ""
) -> inspect.Parameter | None:
    """The first parameter; None if the function does not tell (some built-in ones). beside: the name of another that it
    may have."""
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != beside]
    except (ValueError, TypeError):
        return None
    kinds = inspect.Parameter
    given = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in given if p.default is kinds.empty]
    required = [p for p in parameters if p.kind is kinds.KEYWORD_ONLY and p.default is kinds.empty]
    takes_any = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    if len(needed) > 1 or required or not (given or takes_any):
        names = ", ".join(str(p).split(":")[0].split("=")[0].strip() for p in parameters)
        raise InvalidSpec(f"{name}: is called with one argument, {what}; its parameters are ({names})")
    return given[0] if given else None


def _resolved(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The annotation as a type, or as text if its names cannot be found."""
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return typing.get_type_hints(inspect.unwrap(function)).get(parameter.name, parameter.annotation)
    except Exception:  # evaluating the user's annotations may raise anything
        return parameter.annotation


def _of_type(annotation: Any) -> Shape | None:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _of_type(typing.get_args(annotation)[0])
    if origin in (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator):
        return Shape.BATCHES if _of_type(typing.get_args(annotation)[0]) is Shape.BATCH else None
    if origin in _DICTS:
        key, value = typing.get_args(annotation)
        return _known(typing.get_origin(value) or value, _ARRAYS) if key is str else None
    if annotation in (Any, object):
        return Shape.TABLE
    if isinstance(annotation, str):
        return _of_text(annotation)
    return _of_class(annotation)


def _of_class(annotation: Any) -> Shape | None:
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, pa.Table):
        return Shape.TABLE
    if issubclass(annotation, pa.RecordBatch):
        return Shape.BATCH
    if issubclass(annotation, pa.RecordBatchReader):
        return Shape.READER
    return _known(annotation, _CLASSES)


def _known(annotation: Any, classes: dict[tuple[str, str], Shape]) -> Shape | None:
    """By the package and the name of a class or of one that it derives from: no library is imported here."""
    for one in getattr(annotation, "__mro__", ()):
        found = classes.get((one.__module__.partition(".")[0], one.__name__))
        if found is not None:
            return found
    return None


def _of_text(text: str) -> Shape | None:
    match = re.fullmatch(r"([\w.]+)(?:\[(.*)\])?", text.strip().strip("\"'").strip(), re.DOTALL)
    if match is None:
        return None
    whole, inner = match.group(1), match.group(2)
    name = whole.rpartition(".")[2]
    if inner is None:
        return _TEXTS.get(whole) or (_TEXTS.get(name) if name not in ("DataFrame", "LazyFrame") else None)
    if name in _ITERABLES:
        return Shape.BATCHES if _of_text(inner.split(",")[0]) is Shape.BATCH else None
    if name.lower() in ("dict", "mapping", "mutablemapping"):
        key, _, value = inner.partition(",")
        return _ARRAY_TEXTS.get(value.partition("[")[0].strip().strip("\"'")) if key.strip() == "str" else None
    return None
