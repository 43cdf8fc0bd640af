"""No name of a column of the user's meets one that is only inside: columns may be called whatever the code calls its
own, and no expression reaches those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.groupby.in_process import Cut, aggregation, carried_out, job_of, planned, table_of, write_table
from tests.join import joining

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import (
    AnyOperation,
    AsOf,
    Cluster,
    Distinct,
    GroupBy,
    Join,
    RandomOrder,
    Repartition,
    Sort,
    SortKey,
    Window,
)

INSIDE = ["shuffle-key", "shuffle-key-", "position", "place", "window-0", "window-1", "0", "1", "value", "x"]
"""What columns are called inside: keys that rows travel with, positions of boundaries and samples, results of window
functions, states of groups."""

ALSO = ["l", "r", "l.x", "left", "right"]
NAMES = [*INSIDE, *ALSO]
KEYS = ("shuffle-key", "position", "place", "window-0", "0")


def rows(count: int, seed: int = 3) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({name: random.integers(0, 9, count) for name in NAMES})


def in_order(table: pa.Table) -> list[tuple[int, ...]]:
    return sorted(zip(*(table[name].to_pylist() for name in NAMES), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_table(tmp_path_factory.mktemp("names"), rows(200), 2, 50)


WHOLE: dict[str, AnyOperation] = {"random": RandomOrder(1), "turn": Repartition()}
for key in KEYS:
    WHOLE |= {
        f"hash {key}": Repartition([key]),
        f"range {key}": Repartition(range=[key]),
        f"sort {key}": Sort([SortKey(key), SortKey("x")]),
        f"cluster {key}": Cluster([key, "x"]),
    }


@pytest.mark.parametrize("name", WHOLE)
def test_whole_rows(folder: str, name: str, tmp_path: Path) -> None:
    plan = planned(job_of(folder, WHOLE[name], 3))
    assert in_order(table_of(carried_out(plan, Cut(memory=60_000), tmp_path))) == in_order(rows(200))


@pytest.mark.parametrize("left_out", INSIDE)
@pytest.mark.parametrize("operation", [RandomOrder(1), Cluster(["x", "place"])], ids=["random", "cluster"])
def test_a_column_that_is_not_written_is_there_all_the_same(
    folder: str, operation: AnyOperation, left_out: str
) -> None:
    kept = [name for name in NAMES if name != left_out]
    job = job_of(folder, operation, 2)
    job = msgspec.structs.replace(job, output=msgspec.structs.replace(job.output, columns=kept))
    found = table_of(carried_out(planned(job)))
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, rows(200).select(kept).to_pylist()))


@pytest.mark.parametrize("key", KEYS)
def test_groups(folder: str, key: str) -> None:
    aggregations = [
        aggregation("sum", "0"), aggregation("first", "position"), aggregation("list", "place"),
        aggregation("approxQuantile", "position", quantile=0.5), aggregation("median", "1"),
    ]  # fmt: skip
    found = table_of(carried_out(planned(job_of(folder, GroupBy([key], aggregations)))))
    assert sorted(found[key].to_pylist()) == list(range(9))
    expected = rows(200).group_by(key).aggregate([("0", "sum")]).to_pylist()
    assert {one[key]: one["sum_0"] for one in found.to_pylist()} == {one[key]: one["0_sum"] for one in expected}
    newest = Distinct([key], order_by=[SortKey("position")], rows=1)
    assert table_of(carried_out(planned(job_of(folder, newest)))).num_rows == 9


def test_windows(folder: str) -> None:
    compute = {"nr": "row_number()", "next": 'lag("window-0") + "window-0"', "total": 'sum("window-1") + "0"'}
    found = table_of(carried_out(planned(job_of(folder, Window(["window-1"], [SortKey("position")], compute)))))
    assert in_order(found) == in_order(rows(200))
    sums = rows(200).group_by("window-1").aggregate([("window-0", "sum")])
    assert sum(sums["window-0_sum"].to_pylist()) == sum(found["window-0"].to_pylist())
    pairs = zip(found["nr"].to_pylist(), found["next"].to_pylist(), strict=True)
    assert all((number == 1) == (following is None) for number, following in pairs)


JOINS: dict[str, tuple[Join, str]] = {
    f"{how} {key}": (
        joining.join(how, [key], where='l."window-0" <= r."shuffle-key" and l."l" < "left"."l.x" + 9'),
        key,
    )
    for how in ("Inner", "Full", "LeftSemi", "RightAnti")
    for key in ("position", "l")
}


@pytest.mark.parametrize("name", JOINS)
def test_joins(tmp_path: Path, name: str) -> None:
    operation, key = JOINS[name]
    left, right = rows(90), rows(60, 4)
    joining.written(tmp_path / "left", left, files=2)
    joining.written(tmp_path / "right", right)
    found = joining.carried_out(joining.planned(joining.job_of(tmp_path, operation)), memory=1 << 20).table
    how = {"LeftSemi": "SEMI", "RightAnti": "ANTI", "Inner": "INNER", "Full": "FULL"}[operation.how]
    ons = f'l."{key}" = r."{key}" AND l."window-0" <= r."shuffle-key" AND l."l" < l."l.x" + 9'
    tables = "r %s JOIN l" if operation.how == "RightAnti" else "l %s JOIN r"
    counted = joining.in_duckdb(left, right, f"SELECT count(*) AS n FROM {tables % how} ON {ons}")
    assert found.num_rows == counted["n"][0].as_py()


def test_as_of_joins(tmp_path: Path) -> None:
    joining.written(tmp_path / "left", rows(90))
    joining.written(tmp_path / "right", rows(60, 4))
    near = Join("AsOf", 0, 1, ["position"], ["position"], as_of=AsOf("place", "place"))
    assert joining.carried_out(joining.planned(joining.job_of(tmp_path, near))).table.num_rows == 90


@pytest.mark.parametrize(
    "text", ['"window-0" + lag(n)', 'lag(n) + "window-0"', 'lag("window-0")', 'lag(n) + lag(n, 2) + "window-1"']
)
def test_results_of_window_functions_have_no_name(tmp_path: Path, text: str) -> None:
    job = job_of(write_table(tmp_path / "in", pa.table({"n": [1]})), Window(["n"], [], {"c": text}))
    with pytest.raises(InvalidSpec, match=r'operation\.window\.compute\.c: there is no column "window-'):
        planned(job)


@pytest.mark.parametrize("text", ['"l.n" < r.n', '"r.n" = 1', 'l.n = "l.n"'])
def test_columns_of_pairs_are_named_by_their_side(tmp_path: Path, text: str) -> None:
    for name in ("left", "right"):
        joining.written(tmp_path / name, pa.table({"n": [1]}))
    with pytest.raises(InvalidSpec, match=r"operation.join.where: there is no column \"[lr].n\"; write [lr].n without"):
        joining.planned(joining.job_of(tmp_path, joining.join(on=["n"], where=text)))


def test_the_rows_of_a_window_are_those_of_its_twin(tmp_path: Path, folder: str) -> None:
    """The same values under other names give the same result."""
    plain = {name: f"c{at}" for at, name in enumerate(NAMES)}
    other = write_table(tmp_path / "in", rows(200).rename_columns(list(plain.values())), 2, 50)

    def found(path: str, names: dict[str, str]) -> dict[str, Any]:
        compute = {"a": f'sum("{names["window-0"]}") + lag("{names["window-1"]}", 2, 0)'}
        window = Window([names["0"]], [SortKey(names["position"])], compute)
        return table_of(carried_out(planned(job_of(path, window)))).rename_columns([*NAMES, "a"]).to_pydict()

    assert found(folder, {name: name for name in NAMES}) == found(other, plain)
