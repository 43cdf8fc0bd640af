"""What a function is given, what it may give back, and that it is given the same whatever came before."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.functions.users import ENDS, ROWS, called, calling, module, wanted_anyway

from shuffle_worker.functions.host import Trouble

COUNTED = pa.schema({"k": pa.int64(), "n": pa.int64()})


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    module(
        folder,
        "mine",
        """
        import typing
        if typing.TYPE_CHECKING:
            import pandas as pd

        def same(rows):
            return rows

        def count(table: pa.Table) -> pa.Table:
            return pa.table({"k": table["k"].slice(0, 1), "n": [table.num_rows]})

        def in_a_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch.slice(0, 1)

        def mean(group: pd.DataFrame) -> pd.DataFrame:
            assert list(group.index) == list(range(len(group)))
            group["v"] = group["v"].mean()
            return group.head(1)

        def first_two(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for at, batch in enumerate(batches):
                if at < 2:
                    yield batch.slice(0, 1)

        def nothing_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return iter([])

        def through(reader: pa.RecordBatchReader):
            for batch in reader:
                yield batch.slice(0, 1)

        def twice(table):
            yield table
            yield table

        def none(table):
            if table["k"][0].as_py() == 1:
                return table.slice(0, 0)
            return table

        def objects(group: pd.DataFrame):
            import pandas as pd
            return pd.DataFrame({"k": [int(group["k"][0])], "tags": [[]], "more": [None]})

        def read(path, columns):
            yield pa.table({"path": [path], "columns": [columns]})

        def kinds(group: pd.DataFrame) -> pd.DataFrame:
            import pandas as pd
            return pd.DataFrame({"k": [str(group["n"].dtype)]})

        class Model:
            def score(self, table: pa.Table) -> pa.Table:
                return table.slice(0, 1)

        model = Model()
        """,
    )
    return folder


def test_a_function_without_an_annotation_is_given_tables(mine: Path) -> None:
    with calling(mine, "mine:same", ROWS.schema) as host:
        assert called(host).to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("function", ["in_a_batch", "first_two", "through", "model.score"])
def test_every_shape_sees_each_group_whole(mine: Path, function: str) -> None:
    with calling(mine, f"mine:{function}", ROWS.schema) as host:
        assert called(host).to_pydict() == {"k": [0, 1, 2], "v": [0.5, 2.5, 5.5]}


def test_a_data_frame_begins_at_index_nought(mine: Path) -> None:
    with calling(mine, "mine:mean", ROWS.schema) as host:
        assert called(host).to_pydict() == {"k": [0, 1, 2], "v": [1.0, 3.5, 5.5]}


def test_the_process_is_used_again(mine: Path) -> None:
    with calling(mine, "mine:count", COUNTED) as host:
        for _ in range(3):
            assert called(host).to_pydict() == {"k": [0, 1, 2], "n": [2, 3, 1]}


def test_a_group_in_many_batches_is_one_table(mine: Path) -> None:
    parts = [ROWS.slice(at, 1) for at in range(6)]
    with calling(mine, "mine:count", COUNTED) as host:
        found = list(host.call(iter(parts), [6], wanted_anyway))
    assert pa.Table.from_batches(found).to_pydict() == {"k": [0], "n": [6]}


def test_a_streamed_group_may_be_left_unread(mine: Path) -> None:
    parts = [ROWS.slice(at, 1) for at in range(6)]
    taken: list[int] = []

    def counted() -> object:
        for part in parts:
            taken.append(1)
            yield part

    with calling(mine, "mine:first_two", ROWS.schema) as host:
        found = list(host.stream(counted(), wanted_anyway))  # type: ignore[arg-type]
        assert pa.Table.from_batches(found).to_pydict() == ROWS.slice(0, 2).to_pydict()
        assert len(taken) == 6
        assert called(host).num_rows == 3


def test_no_rows_and_several_tables(mine: Path) -> None:
    with calling(mine, "mine:none", ROWS.schema) as host:
        assert called(host).column("k").to_pylist() == [0, 0, 2]
    with calling(mine, "mine:twice", ROWS.schema) as host:
        assert called(host).column("k").to_pylist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]
    with calling(mine, "mine:nothing_of", ROWS.schema) as host:
        assert list(host.call(iter([ROWS]), ENDS, wanted_anyway)) == []


def test_python_objects_get_the_declared_types(mine: Path) -> None:
    wanted = pa.schema({"k": pa.int16(), "tags": pa.list_(pa.string()), "more": pa.date32()})
    with calling(mine, "mine:objects", wanted) as host:
        found = called(host)
    assert found.schema.equals(wanted)
    assert found.to_pydict() == {"k": [0, 1, 2], "tags": [[], [], []], "more": [None, None, None]}


def test_a_data_frame_has_the_same_types_whichever_groups_came_with_it(mine: Path) -> None:
    rows = pa.record_batch({"n": pa.array([1, 2, None, 4], pa.int64())})
    wanted = pa.schema({"k": pa.string()})
    with calling(mine, "mine:kinds", wanted, rows.schema) as host:
        together = called(host, rows, [2, 4]).column("k").to_pylist()
        alone = [called(host, rows.slice(at, 2), [2]).column("k").to_pylist()[0] for at in (0, 2)]
    assert together == alone == ["int64", "float64"]


def test_results_larger_than_a_frame_come_in_order(mine: Path) -> None:
    rows = pa.record_batch({"k": list(range(20_000)), "text": ["x" * 400 + str(i) for i in range(20_000)]})
    with calling(mine, "mine:same", rows.schema, rows.schema) as host:
        found = list(host.call(iter([rows]), [5, 20_000], wanted_anyway))
    assert len(found) > 2
    assert pa.Table.from_batches(found).equals(pa.Table.from_batches([rows]))


def test_a_reader_is_called_with_a_path_and_columns(mine: Path) -> None:
    with calling(mine, "mine:read") as host:
        host.setup = host.setup._replace(reader=True)
        found = list(host.read("a.bin", ["k"], wanted_anyway))
    assert pa.Table.from_batches(found).to_pylist() == [{"path": "a.bin", "columns": ["k"]}]


def test_without_a_declared_schema_the_schema_is_told(mine: Path) -> None:
    with calling(mine, "mine:count") as host:
        assert host.schema is None
        called(host)
        assert host.schema is not None
        assert host.schema.equals(COUNTED)


def test_a_lease_that_is_taken_away_ends_the_call(mine: Path, tmp_path: Path) -> None:
    module(tmp_path, "endless", "def loop(t):\n    while True: pass\n")
    looks = 0

    class TakenAway(Exception):
        pass

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > 3 and host._process is not None and host.free:
            raise TakenAway

    with calling(tmp_path, "endless:loop") as host, pytest.raises(TakenAway):
        list(host.call(iter([ROWS]), ENDS, check))


def test_a_result_that_is_no_table_is_told(mine: Path, tmp_path: Path) -> None:
    module(tmp_path, "wrong", "def no(t): pass\ndef number(t): return 3\n")
    with calling(tmp_path, "wrong:no") as host, pytest.raises(Trouble, match=r"returned None.*return an empty table"):
        called(host)
    with (
        calling(tmp_path, "wrong:number") as host,
        pytest.raises(Trouble, match=r"returned an int \(3\), expected a pa.Table"),
    ):
        called(host)
