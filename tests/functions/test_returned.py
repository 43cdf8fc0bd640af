"""A result that is no table: what it was, and what to return instead."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from tests.functions.users import called, calling, module

from shuffle_worker.functions.conform import Differs, held_to, pieces_of
from shuffle_worker.functions.host import Trouble


def foreign(name: str, package: str) -> object:
    """An object of a library that is not installed here."""
    return type(name, (), {"__module__": f"{package}.inner"})()


SERIES = pd.Series([1], name="x")
CASES: list[tuple[Any, str, str]] = [
    (None, "None", "for no rows, return an empty table; does every way through it end in `return`?"),
    (3, "an int (3)", 'return a table of one row: pa.table({"name": [value]})'),
    (True, "a bool (True)", "return a table of one row"),
    (1.5, "a float (1.5)", "return a table of one row"),
    ("yes", "a str ('yes')", "return a table of one row"),
    (np.float64(2.0), "numpy's float64 (np.float64(2.0))", "return a table of one row"),
    (datetime.date(2026, 1, 1), "datetime's date", "return a table of one row"),
    (pd.Timestamp(0), "pandas's Timestamp", "return a table of one row"),
    (SERIES, "pandas's Series", "return series.to_frame()"),
    (pd.Index([1]), "pandas's Index", "return series.to_frame()"),
    (pd.DataFrame({"x": [1]}).groupby("x"), "pandas's DataFrameGroupBy", "aggregate it first"),
    (pd.DataFrame, "the class DataFrame itself", "call it: return DataFrame(...)"),
    (len, "the function len itself", "call it: return len(...)"),
    ({"x": [1]}, "a dict", "return pa.table(columns) where it holds a list for each column"),
    ([{"x": 1}], "a list", "return pa.Table.from_pylist(rows)"),
    ([pa.table({"x": [1]})], "a list", "yield them one by one, or return pa.concat_tables(tables)"),
    ((pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [1]})), "a tuple", "yield them one by one"),
    ([1, 2], "a list", 'return pa.table({"name": list})'),
    ([], "a list", 'return pa.table({"name": list})'),
    (np.zeros(3), "numpy's ndarray", 'return pa.table({"name": array})'),
    (pa.array([1]), "pyarrow's Int64Array", 'return pa.table({"name": array})'),
    (pa.chunked_array([[1]]), "pyarrow's ChunkedArray", 'return pa.table({"name": array})'),
    (ds.dataset(pa.table({"x": [1]})), "pyarrow's InMemoryDataset", "return dataset.to_table()"),
    ({"x": np.array([1]), "y": 2}, "a dict", "return an array for every column: np.array([value]) for a single value"),
    (foreign("Series", "polars"), "polars's Series", "return series.to_frame()"),
    (object(), "an object", "return pa.table("),
]


@pytest.mark.parametrize(("result", "what", "advice"), CASES)
def test_what_it_was_and_what_to_do(result: object, what: str, advice: str) -> None:
    (piece, verb), *rest = pieces_of(result)
    assert not rest
    with pytest.raises(Differs) as caught:
        held_to(piece, pa.schema({"x": pa.int64()}), verb)
    message = str(caught.value)
    assert message.startswith(f"it returned {what}")
    assert ", expected a pa.Table, a pa.RecordBatch, a data frame or a dict of arrays; " in message
    assert advice in message


def test_what_is_yielded() -> None:
    def nothing() -> Any:
        yield None

    for piece, verb in pieces_of(nothing()):
        with pytest.raises(
            Differs, match=r"it yielded None, .*for no rows, yield an empty table; leave the `yield` out"
        ):
            held_to(piece, None, verb)
    ((piece, verb),) = pieces_of(iter([[1]]))
    with pytest.raises(Differs, match=r"it yielded a list, .*yield pa.table"):
        held_to(piece, None, verb)


class Streamed:
    """A table of another library."""

    columns = ("x",)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table({"x": [1]}).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pa.table({"x": [1]}),
        lambda: pa.record_batch({"x": [1]}),
        lambda: pd.DataFrame({"x": [1]}),
        lambda: Streamed(),
        lambda: pa.RecordBatchReader.from_batches(pa.schema({"x": pa.int64()}), [pa.record_batch({"x": [1]})]),
        lambda: iter([pd.DataFrame({"x": [1]})]),
        lambda: (one for one in [Streamed()]),
    ],
)
def test_what_is_taken(make: Callable[[], object]) -> None:
    found = [held_to(piece, pa.schema({"x": pa.int64()}), verb) for piece, verb in pieces_of(make())]
    assert [one.to_pydict() for one in found] == [{"x": [1]}]


def test_a_function_that_was_meant_for_one_row(tmp_path: Path) -> None:
    module(tmp_path, "one", "def f(t): return t['v'].to_pylist()[0]\n")
    with calling(tmp_path, "one:f") as host, pytest.raises(Trouble, match=r"it returned a float \(0.5\)") as caught:
        called(host)
    assert (caught.value.kind, caught.value.group) == ("differs", 0)
