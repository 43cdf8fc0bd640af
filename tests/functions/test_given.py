"""Groups that are converted to data frames together are what each would be alone, and nobody else's."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shuffle_worker.functions.forms import NotGiven, form_of
from shuffle_worker.functions.given import MOST_PATTERNS, GivenParts, groups_of, shaped
from shuffle_worker.functions.shapes import Shape

PANDAS = form_of(Shape.FRAME, gpu=False)
DAY = datetime.date(2026, 1, 1)
NOON = datetime.datetime(2026, 1, 1, 12)  # noqa: DTZ001
FAR = datetime.datetime(9999, 12, 31)  # noqa: DTZ001
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int8": (pa.int8(), [1, 2, 3, 4, 5, 6]),
    "int64": (pa.int64(), [2**53 + 1, 2, 3, 4, 5, 2**62]),
    "uint64": (pa.uint64(), [2**64 - 1, 2, 3, 4, 5, 6]),
    "bool": (pa.bool_(), [True, False, True, True, False, False]),
    "float16": (pa.float16(), [np.float16(1.5)] * 6),
    "double": (pa.float64(), [1.5, float("nan"), 0.0, -0.0, 1e300, 3.0]),
    "text": (pa.string(), list("abcdef")),
    "large text": (pa.large_string(), list("abcdef")),
    "binary": (pa.binary(), [b"a", b"b", b"", b"d", b"e", b"f"]),
    "date": (pa.date32(), [DAY] * 6),
    "milliseconds": (pa.date64(), [DAY] * 6),
    "time": (pa.time64("us"), [datetime.time(1, 2, 3, at) for at in range(6)]),
    "timestamp": (pa.timestamp("us"), [NOON] * 6),
    "zoned": (pa.timestamp("ns", "Europe/Oslo"), [NOON] * 6),
    "far": (pa.timestamp("s"), [FAR, NOON, NOON, NOON, NOON, NOON]),
    "duration": (pa.duration("s"), [datetime.timedelta(seconds=at) for at in range(6)]),
    "decimal": (pa.decimal128(10, 2), [decimal.Decimal("1.10")] * 6),
    "null": (pa.null(), [None] * 6),
    "list": (pa.list_(pa.int64()), [[1], [], [2, 3], [4], [5], [6]]),
    "list of text": (pa.list_(pa.string()), [["a"], [], ["b", "c"], ["d"], ["e"], ["f"]]),
    "struct": (pa.struct({"a": pa.int64(), "b": pa.string()}), [{"a": at, "b": "x"} for at in range(6)]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], [], [("b", 2)], [], [], [("c", 3)]]),
}
ENDS = [2, 3, 6]
BEGINS = [0, 2, 3]


def together(batch: pa.RecordBatch) -> list[Any]:
    return list(groups_of(Shape.FRAME, PANDAS, batch.schema, [batch], BEGINS, ENDS))


def alone(batch: pa.RecordBatch, begin: int, end: int) -> Any:
    own = pa.RecordBatch.from_pylist(batch.slice(begin, end - begin).to_pylist(), schema=batch.schema)
    return shaped(Shape.FRAME, PANDAS, batch.schema, [own])


def nulled(values: list[Any], places: tuple[int, ...]) -> list[Any]:
    return [None if at in places else value for at, value in enumerate(values)]


@pytest.mark.parametrize("places", [(), (0,), (2,), (3, 5), (0, 1, 2), tuple(range(6))])
@pytest.mark.parametrize("name", VALUES)
def test_a_group_is_what_it_would_be_alone(name: str, places: tuple[int, ...]) -> None:
    kind, values = VALUES[name]
    other = pa.array(nulled([1, 2, 3, 4, 5, 6], (1, 4)), pa.int32())
    batch = pa.RecordBatch.from_arrays([pa.array(nulled(values, places), kind), other], ["x", "other"])
    for frame, begin, end in zip(together(batch), BEGINS, ENDS, strict=True):
        expected = alone(batch, begin, end)
        assert list(frame.index) == list(range(end - begin))
        assert isinstance(frame.index, pd.RangeIndex)
        assert list(frame.dtypes) == list(expected.dtypes)
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)
        kinds = [list(map(type, one["x"])) for one in (frame, expected)]
        assert kinds[0] == kinds[1]


def test_a_null_inside_a_list_is_no_matter_of_other_groups() -> None:
    batch = pa.record_batch({"x": pa.array([[1], [2], [None], [3], [4], [5]], pa.list_(pa.int64()))})
    frames = together(batch)
    assert frames[0]["x"][0].dtype == np.int64
    assert frames[1]["x"][0].dtype == np.float64
    assert frames[2]["x"][0].dtype == np.int64


def test_patterns_of_nulls_beyond_the_bound_are_converted_alone() -> None:
    count = MOST_PATTERNS + 3
    columns = {
        f"c{at}": pa.array([None if row == at else row for row in range(count)], pa.int64()) for at in range(count)
    }
    batch = pa.RecordBatch.from_pydict(columns)
    begins = list(range(count))
    frames = GivenParts(PANDAS, batch, begins)
    made = [frames.of(at, at, at + 1) for at in begins]
    assert [one is None for one in made] == [False] * MOST_PATTERNS + [True] * 3
    every = list(groups_of(Shape.FRAME, PANDAS, batch.schema, [batch], begins, [at + 1 for at in begins]))
    for at, frame in enumerate(every):
        pd.testing.assert_frame_equal(frame, alone(batch, at, at + 1), check_exact=True)


def test_what_is_done_to_a_frame_harms_no_other() -> None:
    batch = pa.record_batch(
        {"n": [1, 2, 3, 4, 5, 6], "x": [0.5] * 6, "t": list("abcdef"), "l": [[at] for at in range(6)]}
    )
    seen = []
    for frame in groups_of(Shape.FRAME, PANDAS, batch.schema, [batch], BEGINS, ENDS):
        seen.append(frame.to_dict("list"))
        frame.loc[:, "n"] = 99
        frame["x"] *= 2
        frame.iloc[0, 2] = "changed"
        frame.loc[len(frame)] = [0, 0.0, "", []]
        del frame["t"]
        frame.index = frame.index + 7
    assert seen == [batch.slice(b, e - b).to_pydict() for b, e in zip(BEGINS, ENDS, strict=True)]


def test_pandas_own_notes_in_a_file_change_nothing() -> None:
    frame = pd.DataFrame({"n": pd.array([1, 2, 3, 4, 5, 6], "Int64")}, index=pd.Index(list("abcdef"), name="key"))
    batch = pa.RecordBatch.from_pandas(frame)
    found = together(batch)
    assert [list(one.columns) for one in found] == [["n", "key"]] * 3
    assert [str(one.dtypes["n"]) for one in found] == ["int64"] * 3
    assert list(found[2].index) == [0, 1, 2]


def test_a_group_that_pandas_cannot_hold_is_no_matter_of_those_before_it() -> None:
    times = pa.array([0, 1000, 0, 7, 0, 0], pa.int64()).cast(pa.time64("ns"))
    groups = groups_of(Shape.FRAME, PANDAS, pa.schema({"t": times.type}), [pa.record_batch({"t": times})], BEGINS, ENDS)
    assert [len(next(groups)), len(next(groups))] == [2, 1]
    with pytest.raises(NotGiven, match=r"pandas cannot hold its rows: .*non-zero nanoseconds"):
        next(groups)
