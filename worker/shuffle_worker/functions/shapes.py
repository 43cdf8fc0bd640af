"""What a function takes, by the annotation of its first parameter.

    pa.Table, or none      the group as an Arrow table
    pd.DataFrame           the same as pandas converts it by default; the index is 0, 1, 2, ...
    pa.RecordBatch         the same in one record batch
    Iterator[pa.RecordBatch], Iterable[...], pa.RecordBatchReader
                           the group batch by batch: for groups that memory does not hold

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


STREAMED = (Shape.BATCHES, Shape.READER)
"""Shapes that the function gets batch by batch, so that a group need not fit in memory."""

_ITERABLES = ("Iterator", "Iterable", "Generator")


def shape_of(function: Callable[..., Any], name: str) -> Shape:
    """Raises InvalidSpec if the function cannot be called with one table, or is annotated with something else."""
    parameter = _only_parameter(function, name)
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return Shape.TABLE
    annotation = _resolved(function, parameter)
    shape = _of_text(annotation) if isinstance(annotation, str) else _of_type(annotation)
    if shape is None:
        shown = annotation if isinstance(annotation, str) else getattr(annotation, "__qualname__", str(annotation))
        raise InvalidSpec(
            f"{name}: its parameter {parameter.name!r} is annotated as {shown}; a group is given as one of "
            f"{', '.join(Shape)}"
        )
    return shape


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
    if annotation in (Any, object):
        return Shape.TABLE
    if isinstance(annotation, str):
        return _of_text(annotation)
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, pa.Table):
        return Shape.TABLE
    if issubclass(annotation, pa.RecordBatch):
        return Shape.BATCH
    if issubclass(annotation, pa.RecordBatchReader):
        return Shape.READER
    is_pandas = any(
        one.__name__ == "DataFrame" and one.__module__.split(".")[0] == "pandas" for one in annotation.__mro__
    )
    return Shape.FRAME if is_pandas else None


def _of_text(text: str) -> Shape | None:
    match = re.fullmatch(r"([\w.]+)(?:\[(.*)\])?", text.strip().strip("\"'").strip(), re.DOTALL)
    if match is None:
        return None
    name, inner = match.group(1).rpartition(".")[2], match.group(2)
    if name in _ITERABLES and inner is not None:
        return Shape.BATCHES if _of_text(inner.split(",")[0]) is Shape.BATCH else None
    if inner is not None:
        return None
    plain = {"Table": Shape.TABLE, "RecordBatch": Shape.BATCH, "RecordBatchReader": Shape.READER}
    if name == "DataFrame" and match.group(1) in ("DataFrame", "pd.DataFrame", "pandas.DataFrame"):
        return Shape.FRAME
    return plain.get(name)
