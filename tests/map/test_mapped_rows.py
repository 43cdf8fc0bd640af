"""Rows that go through a function before the operation: which rows come out, in which order, and that nothing else
shows in the files' bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.groupby.in_process import Cut, aggregation, asked, carried_out, planned, table_of
from tests.map.conftest import CALL, Mapped, table, with_calls_of

from shuffle_protocol.jobs import (
    AnyOperation,
    Cluster,
    Distinct,
    GroupBy,
    RandomOrder,
    Repartition,
    ResultColumn,
    Sort,
    SortKey,
)  # fmt: skip
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers import readers_for
from shuffle_worker.readers.mapped import MappedReader
from shuffle_worker.storage import storage_for

BY_K = Sort([SortKey("k")])
CUTS = (
    Cut(batch_rows=64, batch_bytes=20_000, memory=60_000, buckets=6),
    Cut(batch_rows=333, backwards=True, buckets=9),
)


def mapped_rows(mapped: Mapped, function: str, operation: AnyOperation, **more: Any) -> pa.Table:
    return table_of(carried_out(with_calls_of(planned(mapped(function, operation, **more)))))


@contextmanager
def mapped_reader(plan: Plan) -> Iterator[MappedReader]:
    """One for several runs: a process takes longer to start than all else."""
    one = plan.job.inputs[0]
    (reader,) = readers_for(plan, [storage_for(one.paths[0], one.storage)])
    assert isinstance(reader, MappedReader)
    with closing(reader):
        yield reader


def test_every_row_goes_through_once_and_keeps_its_place(mapped: Mapped) -> None:
    """A sort by nothing that differs gives the rows in the order of the input."""
    found = mapped_rows(mapped, "mine:other_key", Sort([SortKey("name")]), partitions=1)
    assert found.schema.names == ["key", "name"]
    rows = table()
    expected = asked(
        "SELECT -k AS key, s AS name, row_number() OVER () AS place FROM rows ORDER BY s, place", rows=rows
    )
    assert found.equals(expected.select(["key", "name"]))


def test_fewer_rows(mapped: Mapped) -> None:
    found = mapped_rows(mapped, "mine:kept", BY_K)
    rows = table()
    expected = asked('SELECT k, v, s, v * 2 AS "double" FROM rows WHERE k % 3 <> 0 ORDER BY k', rows=rows)
    assert found.equals(expected.cast(found.schema))  # pandas makes large strings of strings


def test_more_rows_and_ties_in_the_order_in_which_they_were_returned(mapped: Mapped) -> None:
    found = mapped_rows(mapped, "mine:exploded", BY_K)
    assert found.column("k").to_pylist() == [k for k in range(3_000) for _ in range(k % 4)]


def test_no_rows_at_all(mapped: Mapped) -> None:
    assert mapped_rows(mapped, "mine:nothing", BY_K).num_rows == 0


def test_the_order_within_a_batch_is_that_of_the_result(mapped: Mapped) -> None:
    found = mapped_rows(mapped, "mine:backwards", Sort([SortKey("s")]), partitions=1)
    for name in ("name 0", "name 49"):
        mine = table().filter(pc.equal(table()["s"], name))["k"].to_pylist()
        got = found.filter(pc.equal(found["s"], name))["k"].to_pylist()
        assert sorted(got) == sorted(mine)
        assert got != mine


def test_it_is_given_what_passes_the_filter_and_computed_columns(mapped: Mapped) -> None:
    found = mapped_rows(mapped, "mine:whole", BY_K, filter="v > 0", columns=["k", "up"], compute={"up": "upper(s)"})
    rows = table()
    assert found.equals(asked("SELECT k, upper(s) AS up FROM rows WHERE v > 0 ORDER BY k", rows=rows))


def test_batches_are_cut_in_each_part_of_a_file(mapped: Mapped) -> None:
    """Row groups have 400, 400 and 200 rows; a call has 300."""
    found = mapped_rows(mapped, "mine:with_batch", BY_K)
    assert sorted(set(found.column("of").to_pylist())) == [100, 200, 300]
    filtered = mapped_rows(mapped, "mine:with_batch", BY_K, filter="v > 0")
    assert set(filtered.column("of").to_pylist()) <= set(range(80, 240))  # about half of each


def test_a_function_over_batches_is_called_once_for_each_part(mapped: Mapped) -> None:
    found = mapped_rows(mapped, "mine:streamed", BY_K)
    assert max(found.column("seen").to_pylist()) == 399
    assert found.column("seen").to_pylist().count(0) == 9  # three files of three row groups


OPERATIONS: dict[str, AnyOperation] = {
    "sort": Sort([SortKey("s"), SortKey("mean")]),
    "hash": Repartition(by=["of"]),
    "range": Repartition(range=["mean"]),
    "round robin": Repartition(),
    "random": RandomOrder(3),
    "cluster": Cluster(["k", "mean"]),
    "distinct": Distinct(["s"], keep="Last"),
    "groupBy": GroupBy(["of"], [aggregation("sum", "v"), aggregation("first", "k")]),
}
IN_BUCKETS = ("random", "distinct", "groupBy")
"""Whose files may be cut anywhere; the boundaries of others are the plan's."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_bytes_whatever_the_batches_memory_and_order(mapped: Mapped, name: str, tmp_path: Path) -> None:
    """Of a function whose results depend on what else is in the batch."""
    plan = with_calls_of(planned(mapped("mine:with_batch", OPERATIONS[name], 3, filter="v > -1")))
    with mapped_reader(plan) as reader:
        first = carried_out(plan, scratch=tmp_path, reader=reader)
        assert sum(table.num_rows for table in first.tables()) > 0
        for cut in CUTS:
            cut = cut if name in IN_BUCKETS else cut._replace(buckets=None)
            assert carried_out(plan, cut, tmp_path, reader=reader).files == first.files


@pytest.mark.parametrize("function", ["exploded", "streamed", "backwards"])
def test_the_same_bytes_for_functions_of_every_kind(mapped: Mapped, function: str, tmp_path: Path) -> None:
    plan = with_calls_of(planned(mapped(f"mine:{function}", RandomOrder(1), 3)))
    with mapped_reader(plan) as reader:
        first = carried_out(plan, scratch=tmp_path, reader=reader)
        for cut in CUTS:
            assert carried_out(plan, cut, tmp_path, reader=reader).files == first.files


@pytest.mark.parametrize("function", ["with_batch", "exploded", "kept"])
def test_ranges_are_even(mapped: Mapped, function: str) -> None:
    """Boundaries are of what the function returns."""
    plan = planned(mapped(f"mine:{function}", Sort([SortKey("v")]), 4))
    sizes = [table.num_rows for table in carried_out(plan).tables()]
    assert len(sizes) == 4
    assert max(sizes) < 1.2 * min(sizes)


def test_many_equal_keys_are_shared_out_by_their_places(mapped: Mapped) -> None:
    plan = with_calls_of(planned(mapped("mine:exploded", Sort([SortKey("one")]), 4, compute={"one": "1"})))
    files = carried_out(plan).tables()
    assert max(one.num_rows for one in files) < 1.3 * min(one.num_rows for one in files)
    rows = table()
    expected = np.repeat(rows["k"].to_numpy(), rows["k"].to_numpy() % 4).tolist()
    assert pa.concat_tables(files)["k"].to_pylist() == expected


def test_declared_columns_hold(mapped: Mapped) -> None:
    declared = [
        ResultColumn("name", "dictionary<values=string, indices=int32, ordered=0>"),
        ResultColumn("key", "int32"),
    ]
    found = mapped_rows(mapped, "mine:other_key", Sort([SortKey("key")]), map_schema=declared)
    assert found.schema.names == ["name", "key"]
    assert found.schema.field("key").type == pa.int32()
    assert found.column("key").to_pylist() == sorted(-k for k in range(3_000))


def test_only_needed_columns_travel(mapped: Mapped) -> None:
    plan = planned(mapped("mine:with_batch", GroupBy(["of"], [aggregation("size")])))
    assert plan.inputs[0].arrow_schema().names == ["of"]
    found = table_of(carried_out(with_calls_of(plan)))
    assert sum(found.column(1).to_pylist()) == 3_000


@pytest.mark.parametrize("kind", ["CSV", "JSON"])
def test_of_files_whose_rows_are_not_counted(mapped: Mapped, tmp_path: Path, kind: str) -> None:
    rows = table(700)
    names = rows.schema.names
    if kind == "CSV":
        lines = [",".join(names), *(",".join(map(str, row.values())) for row in rows.to_pylist())]
    else:
        import json

        lines = [json.dumps(row) for row in rows.to_pylist()]
    file = tmp_path / f"rows.{kind.lower()}"
    file.write_text("\n".join(lines) + "\n")
    found = mapped_rows(mapped, "mine:exploded", Sort([SortKey("s")]), paths=[str(file)], partitions=1)
    exploded = rows.take(np.repeat(np.arange(700), rows["k"].to_numpy() % 4))
    order = np.argsort(np.array(exploded["s"].to_pylist()), kind="stable")
    assert found["k"].to_pylist() == exploded.take(order)["k"].to_pylist()
    assert CALL < 700
