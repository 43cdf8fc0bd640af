"""What a function wants to be given, by its annotation."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.functions.shapes import Shape, shape_of

TEXT = """
from __future__ import annotations
import typing
if typing.TYPE_CHECKING:
    import pandas
    import pandas as pd
    import pyarrow as pa
    import polars as pl
    from pandas import DataFrame
    from pyarrow import RecordBatch, Table

def a(t: pd.DataFrame): ...
def b(t: pandas.DataFrame): ...
def c(t: DataFrame): ...
def d(t: Table): ...
def e(t: Iterator[RecordBatch]): ...
def f(t: typing.Iterable[pa.RecordBatch]): ...
def g(t: 'pa.RecordBatch'): ...
def h(t: pa.RecordBatchReader): ...
def i(t: pl.DataFrame): ...
def j(t: polars.LazyFrame): ...
def k(t: cudf.DataFrame): ...
def l(t: dict[str, np.ndarray]): ...
def m(t: typing.Dict[str, npt.NDArray[np.float64]]): ...
def n(t: Mapping[str, torch.Tensor]): ...
def o(t: 'dict[str, cp.ndarray]'): ...
def v(t: dict[int, np.ndarray]): ...
def w(t: pl.Series): ...
def x(t: list[int]): ...
def y(t: dict): ...
def z(t: Iterator[pa.Table]): ...
"""
WANTED = {
    "a": Shape.FRAME, "b": Shape.FRAME, "c": Shape.FRAME, "d": Shape.TABLE, "e": Shape.BATCHES, "f": Shape.BATCHES,
    "g": Shape.BATCH, "h": Shape.READER, "i": Shape.POLARS, "j": Shape.LAZY, "k": Shape.CUDF, "l": Shape.ARRAYS,
    "m": Shape.ARRAYS, "n": Shape.TENSORS, "o": Shape.CUPY,
}  # fmt: skip


def table(t: pa.Table) -> None: ...
def frame(t: pd.DataFrame) -> None: ...
def batches(t: Iterator[pa.RecordBatch]) -> None: ...
def iterable(t: Iterable[pa.RecordBatch]) -> None: ...
def generator(t: Generator[pa.RecordBatch, None, None]) -> None: ...
def any_of(t: Any, limit: int = 3) -> None: ...
def annotated(t: Annotated[pa.Table, "mine"]) -> None: ...
def variable(*tables: pa.Table) -> None: ...


def polars_frame(t: pl.DataFrame) -> None: ...
def polars_lazy(t: pl.LazyFrame) -> None: ...
def arrays(t: dict[str, np.ndarray]) -> None: ...
def typed_arrays(t: Mapping[str, npt.NDArray[np.float64]]) -> None: ...


class Called:
    def __call__(self, t: pd.DataFrame) -> None: ...


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (table, Shape.TABLE),
        (frame, Shape.FRAME),
        (batches, Shape.BATCHES),
        (iterable, Shape.BATCHES),
        (generator, Shape.BATCHES),
        (any_of, Shape.TABLE),
        (annotated, Shape.TABLE),
        (variable, Shape.TABLE),
        (functools.partial(frame), Shape.FRAME),
        (Called(), Shape.FRAME),
        (lambda t: t, Shape.TABLE),
        (dict, Shape.TABLE),
        (polars_frame, Shape.POLARS),
        (polars_lazy, Shape.LAZY),
        (arrays, Shape.ARRAYS),
        (typed_arrays, Shape.ARRAYS),
    ],
)
def test_annotations_that_exist(function: Callable[..., Any], wanted: Shape) -> None:
    assert shape_of(function, "mine:f") is wanted


@pytest.mark.parametrize("name", WANTED)
def test_annotations_that_are_only_text(name: str) -> None:
    found = types.ModuleType("only_text")
    sys.modules["only_text"] = found
    try:
        exec(compile(TEXT, "only_text.py", "exec"), found.__dict__)
        assert shape_of(getattr(found, name), f"only_text:{name}") is WANTED[name]
        for other in "vwxyz":
            with pytest.raises(InvalidSpec, match=r"'t' is annotated as .*; a group is given as one of pa.Table"):
                shape_of(getattr(found, other), f"only_text:{other}")
    finally:
        del sys.modules["only_text"]


def two(key: str, t: pa.Table) -> None: ...
def named(*, t: pa.Table) -> None: ...
def none() -> None: ...


@pytest.mark.parametrize("function", [two, named, none])
def test_functions_that_cannot_be_called_with_one_table(function: Callable[..., Any]) -> None:
    with pytest.raises(InvalidSpec, match=r"mine:f: is called with one argument, the table"):
        shape_of(function, "mine:f")
