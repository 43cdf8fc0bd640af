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
from shuffle_worker.functions.results import FEW_ROWS, MOST_HELD, SEND_BYTES, ResultSender
from shuffle_worker.functions.wire import HEAD, Message, MessageKind, rows_in

X = pa.schema({"x": pa.int64()})


class Sent:
    """What goes to the worker, as tables."""

    def __init__(self) -> None:
        self.frames: list[Message] = []

    def __call__(self, parts: list[memoryview]) -> None:
        kind, _, _ = HEAD.unpack(parts[0][: HEAD.size])
        self.frames.append(Message(MessageKind(kind), b"", memoryview(bytes(parts[1]))))

    def table(self, schema: pa.Schema) -> pa.Table:
        batches = [rows_in(frame, schema) for frame in self.frames if frame.kind is MessageKind.ROWS]
        return pa.Table.from_batches(batches, schema=schema)


def gathered(results: list[Any], wanted: pa.Schema = X) -> tuple[pa.Table, Sent]:
    sent = Sent()
    held = ResultSender(sent, wanted)
    for group, result in enumerate(results):
        held.add(result, group)
    held.flush()
    return sent.table(wanted), sent


def group_refused(results: list[Any], wanted: pa.Schema = X, match: str | None = "'x'") -> int | None:
    """Whose result it was that could not be taken."""
    held = ResultSender(Sent(), wanted)
    with pytest.raises(Exception, match=match):  # it may come with a later result
        for group, result in enumerate(results):
            held.add(result, group)
        held.flush()
    return held.group


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
    assert [frame.kind for frame in sent.frames] == [MessageKind.SCHEMA, MessageKind.ROWS]


def test_more_frames_than_are_held() -> None:
    count = 2 * MOST_HELD + 100
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
    assert group_refused(results, match=r"1\.5") == 5


def test_the_group_of_a_frame_that_cannot_even_be_looked_at_is_known() -> None:
    class Odd:
        def __arrow_array__(self, type: object = None) -> object:  # noqa: A002
            raise RuntimeError("not today")

        def __len__(self) -> int:
            raise RuntimeError("not today")

    good = pd.DataFrame({"x": pd.Series([[1]], dtype=object)})
    bad = pd.DataFrame({"x": pd.Series([pd.NA], dtype=object)})
    bad.iat[0, 0] = Odd()
    wanted = pa.schema({"x": pa.list_(pa.int64())})
    assert group_refused([good] * 5 + [bad] + [good] * 5, wanted, match=None) == 5


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
OSLO = datetime.timezone(datetime.timedelta(hours=1))
NANO = pd.Timestamp("2026-01-01 00:00:00.123456789")
TICK = pd.Timedelta(7, "ns")
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
    ([NOON, NANO], pa.timestamp("ns"), [pd.Timestamp(NOON), NANO]),
    ([pd.Timestamp(7, tz="Europe/Oslo")], pa.timestamp("ns", "UTC"), [pd.Timestamp(7, tz="UTC")]),
    ([ZONED, ZONED.astimezone(OSLO)], pa.timestamp("us", "UTC"), [ZONED, ZONED]),
    ([datetime.timedelta(1), TICK, pd.NaT], pa.duration("ns"), [pd.Timedelta(1, "D"), TICK, None]),
    ([np.datetime64(7, "ns")], pa.timestamp("ns"), [pd.Timestamp(7)]),
    ([[NANO, None], []], pa.list_(pa.timestamp("ns")), [[NANO, None], []]),
    ([[TICK]], pa.list_(pa.duration("ns")), [[TICK]]),
    ([np.array([7], "M8[ns]")], pa.list_(pa.timestamp("ns")), [[pd.Timestamp(7)]]),
    ([[[NANO]]], pa.list_(pa.list_(pa.timestamp("ns"))), [[[NANO]]]),
    ([{"a": NANO}], pa.struct({"a": pa.timestamp("ns")}), [{"a": NANO}]),
    ([[{"a": TICK}]], pa.list_(pa.struct({"a": pa.duration("ns")})), [[{"a": TICK}]]),
    ([{"a": NANO}], pa.map_(pa.string(), pa.timestamp("ns")), [[("a", NANO)]]),
    ([datetime.datetime(9999, 1, 1), NOON], pa.timestamp("us"), [datetime.datetime(9999, 1, 1), NOON]),  # noqa: DTZ001
    ([NOON.date(), pd.NaT, None], pa.date32(), [NOON.date(), None, None]),
    ([NOON.time()], pa.time64("us"), [NOON.time()]),
    ([b"a", bytearray(b"b")], pa.binary(), [b"a", b"b"]),
    ([2**63], pa.uint64(), [2**63]),
    ([pd.NA, "a"], pa.string(), [None, "a"]),
    ([pd.NA, NOON], pa.timestamp("us"), [None, NOON]),
    ([[pd.NA, NANO]], pa.list_(pa.timestamp("ns")), [[None, NANO]]),
    ([{"a": pd.NA}, pd.NA], pa.struct({"a": pa.int64(), "b": pa.string()}), [{"a": None, "b": None}, None]),
    ([{"a": pd.NA}], pa.map_(pa.string(), pa.int64()), [[("a", None)]]),
    ([pd.NA, Decimal("1.5"), Decimal("NaN")], pa.decimal128(5, 2), [None, Decimal("1.50"), None]),
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
    ([NOON.date(), NOON], pa.date32()),
    ([NOON.date(), NANO], pa.date32()),
    ([pd.NaT, NOON.date(), NOON], pa.date32()),
    ([NOON.date(), np.datetime64(7, "ns")], pa.date32()),
    ([NOON.date(), NOON], pa.timestamp("us")),
    ([NOON, NOON.date()], pa.timestamp("us")),
    ([NOON, ZONED], pa.timestamp("us")),
    ([ZONED, NOON], pa.timestamp("us", "UTC")),
    ([NOON, NANO], pa.timestamp("us")),
    ([datetime.timedelta(1), TICK], pa.duration("us")),
    ([TICK], pa.duration("s")),
    ([[NOON.date(), NOON]], pa.list_(pa.date32())),
    ([[NOON.date()], [NOON]], pa.list_(pa.date32())),
    ([[NANO]], pa.list_(pa.timestamp("us"))),
    ([[TICK]], pa.list_(pa.duration("us"))),
    ([np.array([NOON.date(), NOON], object)], pa.list_(pa.date32())),
    ([{"a": NOON.date()}, {"a": NOON}], pa.struct({"a": pa.date32()})),
    ([{"a": NANO}], pa.struct({"a": pa.timestamp("us")})),
    ([{"a": NANO}], pa.map_(pa.string(), pa.timestamp("us"))),
    ([NOON.time().replace(tzinfo=datetime.UTC)], pa.time64("us")),
    ([[NOON.time().replace(tzinfo=datetime.UTC)]], pa.list_(pa.time64("us"))),
    ([NOON.time()], pa.time32("ms")),
    ([pd.DateOffset(months=1)], pa.month_day_nano_interval()),
    (["a", b"a"], pa.binary()),
    ([b"a", "a"], pa.binary()),
    (["a", b"a"], pa.string()),
    ([0.5, True], pa.float64()),
    ([{"a": True}], pa.struct({"a": pa.int64(), "b": pa.string()})),
    ([{"a": np.int64(2**53 + 1)}], pa.struct({"a": pa.float64(), "b": pa.string()})),
    ([2**64], pa.uint64()),
    ([-1], pa.uint64()),
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


def test_what_would_be_lost_is_shown() -> None:
    frame = pd.DataFrame({"x": pd.Series([NOON.date(), NOON], dtype=object)})
    with pytest.raises(Differs) as caught:
        held_to(frame, pa.schema({"x": pa.date32()}), "returned")
    assert str(caught.value) == (
        "'x' holds Python objects, expected date32[day]: 2026-01-01 12:00:00.000007 would become 2026-01-01"
    )
    with pytest.raises(Differs, match=r"2026-01-01 \(date\) is no timestamp\[us\]$"):
        held_to(frame, pa.schema({"x": pa.timestamp("us")}), "returned")
    with pytest.raises(Differs, match=r"'x' holds Python objects: 2026-01-01 12:00:00.000007 would become 2026-01-01$"):
        held_to(frame, None, "returned")


def test_objects_whose_comparison_raises_are_refused() -> None:
    class Odd(bytes):
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        __hash__ = bytes.__hash__

    frame = pd.DataFrame({"x": pd.Series([Odd(b"a")], dtype=object)})
    with pytest.raises(Differs, match="'x' holds Python objects, expected binary"):
        held_to(frame, pa.schema({"x": pa.binary()}), "returned")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([NOON.date(), NOON], pa.date32()),
        ([NOON, NOON.date()], pa.timestamp("us")),
        ([NOON, ZONED], pa.timestamp("us")),
        ([NOON, NANO], pa.timestamp("us")),
        ([b"a", "a"], pa.binary()),
        ([[NOON.date()], [NOON]], pa.list_(pa.date32())),
        ([{"a": NOON}, {"a": NANO}], pa.struct({"a": pa.timestamp("us")})),
    ],
)
def test_a_group_whose_objects_are_of_another_type_is_named(values: list[Any], kind: pa.DataType) -> None:
    frames = [pd.DataFrame({"x": pd.Series([value], dtype=object)}) for value in values]
    results = [frames[0]] * 5 + [frames[1]] + [frames[0]] * 5
    assert group_refused(results, pa.schema({"x": kind})) == 5


def test_groups_of_finer_times_are_what_they_were() -> None:
    frames = [pd.DataFrame({"x": pd.Series([value], dtype=object)}) for value in (NOON, NANO, None, NOON)]
    table, _ = gathered(frames, pa.schema({"x": pa.timestamp("ns")}))
    assert table.column("x").to_pylist() == [pd.Timestamp(NOON), NANO, None, pd.Timestamp(NOON)]


@pytest.mark.parametrize("kind", [pa.date32(), pa.dictionary(pa.int32(), pa.date32())])
def test_categories_are_objects_too(kind: pa.DataType) -> None:
    def frame(values: list[Any]) -> pd.DataFrame:
        return pd.DataFrame({"x": pd.Categorical([*values, None], categories=pd.Index(values, dtype=object))})

    day, other = NOON.date(), datetime.date(2027, 1, 1)
    table = held_to(frame([day, other]), pa.schema({"x": kind}), "returned")
    assert table.column("x").type == kind
    assert table.column("x").to_pylist() == [day, other, None]
    with pytest.raises(Differs, match=r"2026-01-01 12:00:00.000007 would become 2026-01-01"):
        held_to(frame([other, NOON]), pa.schema({"x": kind}), "returned")


class Weighed:
    """What goes to the worker, weighed and forgotten. rows, sizes: of each frame."""

    def __init__(self, row_bytes: int) -> None:
        self.row_bytes = row_bytes
        self.rows: list[int] = []
        self.sizes: list[int] = []

    def __call__(self, parts: list[memoryview]) -> None:
        kind, _, body = HEAD.unpack(parts[0][: HEAD.size])
        if MessageKind(kind) is MessageKind.ROWS:
            self.sizes.append(body)
            self.rows.append(body // self.row_bytes)


def test_however_many_results_of_one_row_few_of_them_wait() -> None:
    sent = Weighed(8)
    held = ResultSender(sent, X)
    one = pa.table({"x": [7]})
    before = pa.total_allocated_bytes()
    most = 0
    for group in range(200_000):
        held.add(one, group)
        if group % 1000 == 999:
            most = max(most, pa.total_allocated_bytes() - before)
    held.flush()
    assert len(sent.sizes) == -(-200_000 // MOST_HELD)
    assert max(sent.sizes) < MOST_HELD * 8 + 1000
    assert most < SEND_BYTES


WIDE = "x" * 100_000


@pytest.mark.parametrize(
    "make",
    [
        lambda text: pa.table({"x": [text]}),
        lambda text: pd.DataFrame({"x": [text]}),
        lambda text: pd.DataFrame({"x": pd.Series([text], dtype=object)}),
        lambda text: pd.DataFrame({"x": pd.Categorical([text])}),
    ],
    ids=["tables", "frames", "objects", "categories"],
)
def test_results_that_grow_wide_are_not_taken_for_narrow_ones(make: Any) -> None:
    sent = Weighed(1)
    held = ResultSender(sent, pa.schema({"x": pa.string()}))
    for group in range(2 * MOST_HELD):
        held.add(make("x"), group)
    for group in range(200):
        held.add(make(WIDE), group)
    assert sum(sent.sizes) > 200 * len(WIDE) - SEND_BYTES - 2 * len(WIDE)
    held.flush()
    assert max(sent.sizes) < SEND_BYTES + 2 * len(WIDE)


@pytest.mark.parametrize(
    "value",
    [["x" * 100] * 1000, {"a": "x" * 100_000}, np.array(["x" * 100] * 1000, object), [np.zeros(100_000 // 8)]],
    ids=["list", "dict", "array", "list of arrays"],
)
def test_what_is_inside_of_objects_is_counted(value: Any) -> None:
    sizes: list[int] = []
    kind = pa.array([value]).type
    held = ResultSender(lambda parts: sizes.append(sum(part.nbytes for part in parts)), pa.schema({"x": kind}))
    for group in range(100):
        held.add(pd.DataFrame({"x": pd.Series([value], dtype=object)}), group)
    assert sum(sizes) > 100 * 100_000 - SEND_BYTES - 200_000


def test_a_table_whose_last_rows_have_most_of_the_bytes_is_sent_in_pieces() -> None:
    sent = Weighed(1)
    held = ResultSender(sent, None)
    held.add(pa.table({"x": ["x"] * 100_000 + [WIDE] * 100}), 0)
    held.flush()
    assert sum(sent.sizes) > 100 * len(WIDE)
    assert max(sent.sizes) < SEND_BYTES + 10_000
