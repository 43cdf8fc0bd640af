"""Grouping where there is little, much or something odd: no rows, one row, one key, a thousand columns, tens of
thousands of files, names that others use for themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.groupby.in_process import Cut, aggregation, asked, carried_out, job_of, planned, table_of, write_table

from shuffle_protocol.errors import DataError, OutOfMemory
from shuffle_protocol.jobs import Aggregation, Distinct, GroupBy
from shuffle_worker.aggregation.functions import Aggregates
from shuffle_worker.aggregation.results import FUNCTIONS
from shuffle_worker.partitioning.hash import cells_of

SIZE = Aggregation("size", None, "n")


def grouped(tmp_path: Path, table: pa.Table, operation: GroupBy | Distinct, partitions: int = 1) -> pa.Table:
    folder = write_table(tmp_path / "in", table)
    return table_of(carried_out(planned(job_of(folder, operation, partitions))))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_that_is_accepted_has_a_result(function: str) -> None:
    columns = pa.schema([("v", pa.bool_() if function in ("any", "all") else pa.int64())])
    other = "v" if function == "corr" else None
    found = Aggregates([Aggregation(function, "v", "out", quantile=0.5, other=other, values=1)], columns)
    assert len(found.states) > 0


@pytest.mark.parametrize("partitions", [1, 3])
def test_no_rows(tmp_path: Path, partitions: int) -> None:
    table = pa.table({"k": pa.array([], pa.string()), "v": pa.array([], pa.decimal128(5, 1))})
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", "v"), SIZE]), partitions)
    assert found.num_rows == 0 and found.schema.names == ["k", "sum_v", "n"]
    assert str(found.schema.field("sum_v").type) == "decimal128(38, 1)"


def test_one_row(tmp_path: Path) -> None:
    table = pa.table({"k": [None], "v": [1.5]}, schema=pa.schema([("k", pa.int32()), ("v", pa.float64())]))
    every = [aggregation(function, "v") for function in ("sum", "stddev", "median", "list", "first")]
    found = grouped(tmp_path, table, GroupBy(["k"], every), 4)
    assert found.to_pylist() == [
        {"k": None, "sum_v": 1.5, "stddev_v": None, "median_v": 1.5, "list_v": [1.5], "first_v": 1.5}
    ]


def test_one_key(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array(["same"] * 5000), "v": np.arange(5000)})
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", "v"), SIZE]), 3)
    assert found.to_pylist() == [{"k": "same", "sum_v": 12_497_500, "n": 5000}]


def test_a_key_column_of_nulls_only(tmp_path: Path) -> None:
    table = pa.table({"k": pa.nulls(7), "v": np.arange(7)})
    assert grouped(tmp_path, table, GroupBy(["k"], [SIZE])).to_pylist() == [{"k": None, "n": 7}]
    assert grouped(tmp_path, table, GroupBy(["k"], [SIZE], nulls="Drop")).num_rows == 0


def test_a_value_column_of_nulls_only(tmp_path: Path) -> None:
    table = pa.table({"k": [1, 1, 2], "v": pa.nulls(3)})
    functions = ["sum", "mean", "min", "first", "list", "count", "countDistinct", "median"]
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation(function, "v") for function in functions]))
    for row in found.to_pylist():
        assert [row[f"{function}_v"] for function in functions] == [None, None, None, None, None, 0, 0, None]


def test_a_thousand_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = pa.table({"k": random.integers(0, 20, 500)} | {f"c{n}": random.integers(0, 9, 500) for n in range(1000)})
    names = table.schema.names[1:]
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", name, name) for name in names]), 2)
    columns = ", ".join(f"sum({name})::bigint {name}" for name in names)
    expected = asked(f"select k, {columns} from t group by k order by k", t=table)
    assert found.sort_by("k").to_pydict() == expected.to_pydict()


@pytest.mark.parametrize(("partitions", "groups"), [(128, range(128)), (32_768, range(5, 8))])
def test_many_partitions(tmp_path: Path, partitions: int, groups: range) -> None:
    table = pa.table({"k": np.arange(400) % 190, "v": np.arange(400)})
    folder = write_table(tmp_path / "in", table)
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("max", "v"), SIZE]), partitions))
    written = [partition for group in groups for partition in plan.layout.group_partitions(group)]
    files = carried_out(plan, groups=groups)
    assert sorted(files.files) == [f"part-{partition:05d}.parquet" for partition in written]
    inside = np.isin(cells_of([table.column("k").combine_chunks()], partitions), written)
    assert inside.any()
    table = table.filter(pa.array(inside))
    expected = asked("select k, max(v) max_v, count(*) n from t group by k order by k", t=table)
    assert table_of(files).sort_by("k").to_pydict() == expected.to_pydict()


NAMES = ["position", "0", "a.b", "a b", "__index_level_0__", "count(*)", "rowid", "Größe", "key", '"', "\t"]


def test_awkward_names(tmp_path: Path) -> None:
    table = pa.table({name: np.arange(40) % (at + 2) for at, name in enumerate(NAMES)})
    operation = GroupBy(
        ["0", "position"],
        [aggregation("sum", name, f"sum of {name}") for name in NAMES]
        + [aggregation("approxQuantile", "key", quantile=1.0)],
    )
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in NAMES}
    columns = ", ".join(f"sum({quoted[name]})::bigint" for name in NAMES)
    expected = asked(f'select "0", position, {columns}, max(key)::double from t group by all order by all', t=table)
    found = grouped(tmp_path, table, operation, 3).sort_by([("0", "ascending"), ("position", "ascending")])
    assert [list(row.values()) for row in found.to_pylist()] == [list(row.values()) for row in expected.to_pylist()]


def test_a_column_can_be_key_and_value(tmp_path: Path) -> None:
    table = pa.table({"k": [1, 1, 2]})
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", "k"), aggregation("mean", "k")]))
    assert found.sort_by("k").to_pylist() == [
        {"k": 1, "sum_k": 2, "mean_k": 1.0},
        {"k": 2, "sum_k": 2, "mean_k": 2.0},
    ]


def test_a_filter_and_other_columns(tmp_path: Path) -> None:
    table = pa.table({"k": [1, 1, 2, 2], "v": [1, 2, 3, 4], "flag": ["a", "b", "a", "a"], "other": [None] * 4})
    folder = write_table(tmp_path / "in", table)
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("sum", "v")]), filter="flag = 'a'"))
    assert plan.inputs[0].arrow_schema().names == ["k", "v"]
    assert table_of(carried_out(plan)).sort_by("k").to_pylist() == [{"k": 1, "sum_v": 1}, {"k": 2, "sum_v": 7}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([2**63 - 1, 1]), "int64"),
        (pa.array([-(2**63), -1]), "int64"),
        (pa.array([2**64 - 1, 1], pa.uint64()), "uint64"),
        (pa.array(["9" * 38, "1"]).cast(pa.decimal128(38, 0)), "decimal128(38, 0)"),
    ],
)
def test_a_sum_that_does_not_fit_is_no_number(tmp_path: Path, values: pa.Array, said: str) -> None:
    table = pa.table({"k": [7, 7], "v": values})
    message = f"the sum of 'v' does not fit {said} for k = 7; make the column a float in the input, or use mean"
    with pytest.raises(DataError, match=re.escape(message)):
        grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", "v")]))


def test_sums_that_pass_64_bits_on_the_way_are_right(tmp_path: Path) -> None:
    table = pa.table({"k": [7] * 6, "v": [2**62, 2**62, 2**62, -(2**62), -(2**62), 5]})
    found = grouped(tmp_path, table, GroupBy(["k"], [aggregation("sum", "v"), aggregation("mean", "v")]))
    assert found.to_pylist() == [{"k": 7, "sum_v": 2**62 + 5, "mean_v": (2**62 + 5) / 6}]


def test_one_group_that_memory_does_not_hold_is_refused_by_its_key(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    keys = np.where(random.random(60_000) < 0.9, 5, random.integers(0, 100, 60_000))
    table = pa.table({"k": keys, "v": random.random(60_000)})
    folder = write_table(tmp_path / "in", table)
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("median", "v")])))
    with pytest.raises(OutOfMemory, match=r"all of k = 5 takes more than .*; list, median, quantile .* approxQuantile"):
        carried_out(plan, Cut(memory=500_000))
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("approxQuantile", "v", quantile=0.5)])))
    found = table_of(carried_out(plan, Cut(memory=1_000_000)))
    assert found.num_rows == 100


def test_sketches_are_near(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = pa.table({"k": np.zeros(200_000, np.int8), "v": random.permutation(200_000)})
    operation = GroupBy(
        ["k"],
        [
            aggregation("approxCountDistinct", "v", "distinct"),
            aggregation("approxQuantile", "v", "median", quantile=0.5),
            aggregation("approxQuantile", "v", "high", quantile=0.99),
        ],
    )
    [row] = grouped(tmp_path, table, operation).to_pylist()
    assert abs(row["distinct"] / 200_000 - 1) < 0.05
    assert abs(row["median"] / 200_000 - 0.5) < 0.02
    assert abs(row["high"] / 200_000 - 0.99) < 0.005


def test_moments_far_from_zero(tmp_path: Path) -> None:
    """The values' own squares would lose all digits of the variance."""
    random = np.random.default_rng(0)
    values = 1e9 + random.standard_normal(10_000)
    table = pa.table({"k": np.zeros(10_000, np.int8), "v": values})
    [row] = grouped(
        tmp_path, table, GroupBy(["k"], [aggregation("variance", "v"), aggregation("skew", "v")])
    ).to_pylist()
    centred = values - 1e9
    assert row["variance_v"] == pytest.approx(centred.var(ddof=1), rel=1e-9)
    third = ((centred - centred.mean()) ** 3).mean() / centred.std() ** 3
    assert row["skew_v"] == pytest.approx(third, rel=1e-3)
