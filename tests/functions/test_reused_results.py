"""Results that share memory or objects with what the next call changes, while they wait to be sent with others."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.functions.test_results import Sent

from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.results import ResultSender


def _library(name: str) -> Any:
    return importlib.import_module(name)


def _objects(values: list[Any]) -> Any:
    made = np.empty(len(values), object)
    for at, value in enumerate(values):
        made[at] = value
    return made


def _polars_of_arrow(mine: Any) -> Any:
    import polars as pl

    return pl.from_arrow(pa.table({"x": pa.array(mine)}))


def _polars_of_lists(mine: Any) -> Any:
    import polars as pl

    return pl.from_arrow(pa.table({"x": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(mine))}))


AGAIN: dict[str, tuple[Callable[[Any], Any], pa.DataType]] = {
    "array": (lambda mine: {"x": mine}, pa.int64()),
    "Polars frame of an array": (lambda mine: _library("polars").DataFrame({"x": mine}), pa.int64()),
    "Polars frame of Arrow": (_polars_of_arrow, pa.int64()),
    "Polars frame of lists": (_polars_of_lists, pa.list_(pa.int64())),
    "data frame": (lambda mine: _library("pandas").DataFrame({"x": mine}, copy=False), pa.int64()),
    "data frame of Arrow": (
        lambda mine: pa.table({"x": pa.array(mine)}).to_pandas(types_mapper=_library("pandas").ArrowDtype),
        pa.int64(),
    ),
    "data frame of arrays": (lambda mine: _library("pandas").DataFrame({"x": [mine]}), pa.list_(pa.int64())),
    "array of arrays": (lambda mine: {"x": _objects([mine])}, pa.list_(pa.int64())),
}


@pytest.mark.parametrize("name", AGAIN)
def test_an_array_may_be_returned_again_with_other_values(name: str) -> None:
    make, kind = AGAIN[name]
    wanted = pa.schema({"x": kind})
    mine, sent = np.zeros(1, np.int64), Sent()
    held = ResultSender(sent, wanted)
    for at in range(5):
        mine[0] = at
        held.add(make(mine), at)
    held.flush()
    expected = [0, 1, 2, 3, 4]
    assert sent.table(wanted)["x"].to_pylist() == (expected if kind == pa.int64() else [[at] for at in expected])


INSIDE: dict[str, tuple[Any, Callable[[Any, int], None], pa.DataType, Callable[[int], Any]]] = {
    "list": ([0, 0], lambda mine, at: mine.__setitem__(0, at), pa.list_(pa.int64()), lambda at: [at, 0]),
    "dict": ({"a": 0}, lambda mine, at: mine.update(a=at), pa.struct([("a", pa.int64())]), lambda at: {"a": at}),
    "list of lists": (
        [[0]],
        lambda mine, at: mine[0].__setitem__(0, at),
        pa.list_(pa.list_(pa.int64())),
        lambda at: [[at]],
    ),
}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("library", ["pandas", "NumPy"])
def test_an_object_may_be_returned_again_with_other_values(name: str, library: str) -> None:
    mine, change, kind, expected = INSIDE[name]
    mine = copy.deepcopy(mine)
    wanted, sent = pa.schema({"x": kind}), Sent()
    held = ResultSender(sent, wanted)
    for at in range(5):
        change(mine, at)
        column = _objects([mine])
        held.add({"x": column} if library == "NumPy" else _library("pandas").DataFrame({"x": column}), at)
    held.flush()
    assert sent.table(wanted)["x"].to_pylist() == [expected(at) for at in range(5)]


def test_objects_that_cannot_be_copied_are_converted_at_once() -> None:
    class Once(list[int]):
        def __deepcopy__(self, memo: object) -> Any:
            raise RuntimeError("there is only one")

    mine, sent, wanted = Once([0]), Sent(), pa.schema({"x": pa.list_(pa.int64())})
    held = ResultSender(sent, wanted)
    for at in range(3):
        mine[0] = at
        held.add({"x": _objects([mine])}, at)
    held.flush()
    assert sent.table(wanted)["x"].to_pylist() == [[0], [1], [2]]


def test_a_single_value_among_small_results_is_told() -> None:
    held = ResultSender(Sent(), pa.schema({"x": pa.int64()}))
    held.add({"x": np.array([1])}, 0)
    with pytest.raises(Differs, match=r"'x' is a single value; return an array for it"):
        held.add({"x": np.array(1)}, 1)
