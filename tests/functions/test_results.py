"""What functions return, gathered: each result is what it was when it was returned, in its place, or an error of its
group."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.functions.users import called, calling, module

from shuffle_worker.functions.conform import Differs, held_to
from shuffle_worker.functions.results import FEW_ROWS, MOST_FRAMES, Results
from shuffle_worker.functions.wire import HEAD, Frame, Kind, rows_in

X = pa.schema({"x": pa.int64()})


class Sent:
    """What goes to the worker, as tables."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def __call__(self, parts: list[memoryview]) -> None:
        kind, _, _ = HEAD.unpack(parts[0][: HEAD.size])
        self.frames.append(Frame(Kind(kind), b"", memoryview(bytes(parts[1]))))

    def table(self, schema: pa.Schema) -> pa.Table:
        batches = [rows_in(frame, schema) for frame in self.frames if frame.kind is Kind.ROWS]
        return pa.Table.from_batches(batches, schema=schema)


def gathered(results: list[Any], wanted: pa.Schema = X) -> tuple[pa.Table, Sent]:
    sent = Sent()
    held = Results(sent, wanted)
    for group, result in enumerate(results):
        held.add(result, group)
    held.flush()
    return sent.table(wanted), sent


def test_small_results_travel_together_in_order_whatever_they_are() -> None:
    def frames() -> Any:
        yield pd.DataFrame({"x": [4]})
        yield pa.table({"x": [5]})

    results = [
        pd.DataFrame({"x": [0]}),
        pd.DataFrame({"x": [1, 2]}),
        pa.table({"x": [3]}),
        frames(),
        pd.DataFrame({"x": np.array([6], np.int8)}),
        pd.DataFrame({"x": list(range(7, 7 + FEW_ROWS))}),
        pd.DataFrame({"x": np.array([], np.int64)}),
        pa.record_batch({"x": pa.array([100], pa.int32())}),
    ]
    table, sent = gathered(results)
    assert table.column("x").to_pylist() == [*range(7 + FEW_ROWS), 100]
    assert [frame.kind for frame in sent.frames] == [Kind.SCHEMA, Kind.ROWS]


def test_more_frames_than_are_held() -> None:
    count = 2 * MOST_FRAMES + 100
    table, _ = gathered([pd.DataFrame({"x": [at]}) for at in range(count)])
    assert table.column("x").to_pylist() == list(range(count))


@pytest.mark.parametrize(
    "body",
    [
        "store[:] = g; return pa.table({'x': store})",
        "store[:] = g; return pa.record_batch({'x': pa.array(store)})",
        "frame.iloc[:, 0] = g; return frame",
        "frame.iloc[:, 0] = g; frame.attrs = {}; return frame.iloc[:1]",
        "wide[:] = g; return pa.table({'x': wide}).slice(0, 1)",
        "many[:] = g; return pa.table({'x': many})",
        "store[:] = g; return pd.DataFrame({'x': pd.Series(store, copy=False)}, copy=False)",
    ],
)
def test_a_result_that_is_changed_by_the_next_call(tmp_path: Path, body: str) -> None:
    module(
        tmp_path,
        "again",
        f"""
        import numpy as np, pandas as pd
        store, wide, many = np.zeros(1, np.int64), np.zeros(10, np.int64), np.zeros(100, np.int64)
        frame = pd.DataFrame({{"x": np.zeros(1, np.int64)}})
        g = -1
        def f(table):
            global g
            g += 1
            {body}
        """,
    )
    with calling(tmp_path, "again:f", X) as host:
        found = called(host).column("x").to_pylist()
    each = len(found) // 3
    assert found == [0] * each + [1] * each + [2] * each


def test_the_group_of_a_frame_that_differs_is_known() -> None:
    good, bad = pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": [1.5]})
    results = [good] * 5 + [bad] + [good] * 5
    with pytest.raises(Differs, match=r"1\.5") as caught:
        gathered(results)
    assert caught.value.group == 5


def test_frames_of_other_types_are_not_made_one() -> None:
    big = 2**53 + 1
    results = [
        pd.DataFrame({"x": [0.0]}),
        pd.DataFrame({"x": [big]}),
        pd.DataFrame({"x": [None]}),
        pd.DataFrame({"x": [True]}),
    ]
    table, _ = gathered(results[:3])
    assert table.column("x").to_pylist() == [0, big, None]
    with pytest.raises(Differs, match="'x' is bool, expected int64"):
        gathered(results)


def test_an_index_that_holds_a_column_is_told() -> None:
    frame = pd.DataFrame({"x": [1, 1], "n": [2, 3]}).groupby("x").sum()
    with pytest.raises(Differs, match=r"'x' is missing; the index 'x' is no column: return frame.reset_index\(\)"):
        held_to(frame, pa.schema({"x": pa.int64(), "n": pa.int64()}), "returned")


NOON = datetime.datetime(2026, 1, 1, 12, 0, 0, 7)  # noqa: DTZ001
ZONED = NOON.replace(tzinfo=datetime.UTC)
KEPT: list[tuple[list[Any], pa.DataType, list[Any]]] = [
    ([1, None], pa.float64(), [1.0, None]),
    ([1.0, None], pa.int64(), [1, None]),
    ([Decimal("1.50"), 2], pa.decimal128(5, 2), [Decimal("1.50"), Decimal(2)]),
    ([2**70], pa.decimal128(30, 0), [Decimal(2**70)]),
    ([NOON], pa.timestamp("ns"), [NOON]),
    ([ZONED], pa.timestamp("us", "UTC"), [ZONED]),
    ([NOON.date()], pa.date32(), [NOON.date()]),
    ([[1], []], pa.list_(pa.int16()), [[1], []]),
    ([[], None], pa.list_(pa.string()), [[], None]),
    ([{"a": 1}, {}], pa.struct({"a": pa.int64(), "b": pa.string()}), [{"a": 1, "b": None}, {"a": None, "b": None}]),
    ([{"a": 1}], pa.map_(pa.string(), pa.int64()), [[("a", 1)]]),
    ([[("a", 1)]], pa.map_(pa.string(), pa.int64()), [[("a", 1)]]),
    ([None, float("nan")], pa.string(), [None, None]),
    ([pd.Timestamp(7), None], pa.timestamp("ns"), [pd.Timestamp(7), None]),
]
LOST: list[tuple[list[Any], pa.DataType]] = [
    ([1.5], pa.int64()),
    ([Decimal("1.5")], pa.int64()),
    ([2**53 + 1], pa.float64()),
    ([1.1], pa.float32()),
    ([300], pa.int8()),
    ([NOON], pa.date32()),
    ([NOON], pa.timestamp("s")),
    ([pd.Timestamp("2026-01-01 00:00:00.123456789")], pa.timestamp("us")),
    ([ZONED], pa.timestamp("us")),
    ([NOON], pa.timestamp("us", "UTC")),
    ([1], pa.timestamp("us")),
    ([1], pa.date32()),
    ([1], pa.string()),
    (["1"], pa.int64()),
    ([True], pa.int64()),
    ([[1.5]], pa.list_(pa.int64())),
    ([[NOON]], pa.list_(pa.date32())),
    ([{"a": 1.5}], pa.struct({"a": pa.int64(), "b": pa.string()})),
    ([{"a": 1, "c": 2}], pa.struct({"a": pa.int64(), "b": pa.string()})),
    ([{"a": 1.5}], pa.map_(pa.string(), pa.int64())),
    ([1, "a"], pa.string()),
]


@pytest.mark.parametrize(("values", "kind", "kept"), KEPT)
def test_objects_get_the_type_that_is_wanted(values: list[Any], kind: pa.DataType, kept: list[Any]) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    table = held_to(frame, pa.schema({"x": kind}), "returned")
    assert table.column("x").type == kind
    assert table.column("x").to_pylist() == kept


@pytest.mark.parametrize(("values", "kind"), LOST)
def test_objects_that_would_lose_something_are_refused(values: list[Any], kind: pa.DataType) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    with pytest.raises(Differs, match="'x'"):
        held_to(frame, pa.schema({"x": kind}), "returned")
