"""Several small sides joined in one pass: as the joins one after the other, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import Joined, carried_out, planned, rows_of, written
from tests.join.test_join_strategy import text_of

from shuffle_protocol.errors import InvalidSpec, OutOfMemory
from shuffle_protocol.jobs import Input, Job, Join, Output, SortKey, StarJoin
from shuffle_worker.operations.join import broadcast as broadcasting
from shuffle_worker.operations.join import strategy


def side(right: int, how: str = "Inner", on: tuple[str, ...] = ("k",), **more: Any) -> Join:
    right_on = list(more.pop("right_on", on))
    return Join(how, 0, right, list(on), right_on, field=f"operation.join.sides[{right - 1}]", **more)


def tables() -> dict[str, pa.Table]:
    """A fact table with nulls, two dimensions of which one has a key twice, one that belongs to a dimension, and one
    without rows."""
    random = np.random.default_rng(8)
    count = 2500
    return {
        "facts": pa.table(
            {
                "customer": pa.array(random.integers(0, 90, count), mask=random.random(count) < 0.05),
                "product": [f"p{n}" for n in random.integers(0, 30, count)],
                "day": random.integers(0, 300, count),
                "name": [f"sale {n}" for n in range(count)],
            }
        ),
        "customers": pa.table(
            {
                "id": pa.array(np.arange(80), pa.int32()),
                "name": [f"c{n}" for n in range(80)],
                "country": ["DE", "FR"] * 40,
            }
        ),
        "prices": pa.table(
            {
                "product": [f"p{n // 2}" for n in range(50)],
                "since": [0 if n % 2 else 150 for n in range(50)],
                "until": [150 if n % 2 else 250 for n in range(50)],
                "price": random.random(50),
            }
        ),
        "countries": pa.table({"country": ["DE", "IT"], "vat": [19, 22]}),
        "nothing": pa.table({"product": pa.array([], pa.string()), "x": pa.array([], pa.int64())}),
    }


STARS: dict[str, tuple[list[Join], list[str], str]] = {
    "two": (
        [
            side(1, "Left", ("customer",), right_on=("id",), suffixes=["", "_customer"]),
            side(2, "Inner", ("product",), where="l.day >= r.since and facts.day < prices.until"),
        ],
        ["customers", "prices"],
        "select f.*, c.id, c.name name_customer, c.country, since, until, price from facts f left join customers c on "
        "customer = id join prices p on f.product = p.product and day >= since and day < until",
    ),
    "a dimension's dimension": (
        [
            side(1, "Left", ("customer",), right_on=("id",), suffixes=["", "_customer"]),
            side(2, "Left", ("country",)),
            side(3, "LeftAnti", ("product",), where="r.since > l.day + 60"),
        ],
        ["customers", "countries", "prices"],
        "select f.*, c.id, c.name name_customer, c.country, vat from facts f left join customers c on customer = id "
        "left join countries o using (country) where not exists "
        "(from prices p where p.product = f.product and since > day + 60)",
    ),
    "semi and cross": (
        [
            side(1, "LeftSemi", ("customer",), right_on=("id",), where="r.country = 'DE'"),
            Join("Cross", 0, 2, [], [], field="operation.join.sides[1]", where="l.day < r.vat"),
        ],
        ["customers", "countries"],
        "select f.*, country, vat from facts f join countries on day < vat where customer in "
        "(select id from customers where country = 'DE')",
    ),
    "an empty side": (
        [side(1, "Left", ("product",)), side(2, "Inner", ("customer",), right_on=("id",), suffixes=["", "_c"])],
        ["nothing", "customers"],
        "select f.*, null::bigint x, c.id, c.name name_c, country from facts f join customers c on customer = id",
    ),
}


def job_of(folder: Path, sides: list[Join], names: list[str], **more: Any) -> Job:
    inputs = [Input([str(folder / name)], name=name, columns=more.get(name)) for name in ("facts", *names)]
    output = Output(
        str(folder / "out"),
        partitions=3,
        compression="Snappy",
        sort_within=[SortKey(n) for n in more.get("within", ())],
    )
    return Job("uid", "job", StarJoin(sides), inputs, output, 2, 512 << 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, table in tables().items():
        written(tmp_path / name, table, files=3 if name == "facts" else 1, row_group_size=200)
    return tmp_path


def done(folder: Path, name: str) -> Joined:
    sides, names, _ = STARS[name]
    return carried_out(planned(job_of(folder, sides, names)))


@pytest.mark.parametrize("name", STARS)
def test_as_duckdb_has_it_whatever_the_circumstances(folder: Path, name: str) -> None:
    found = done(folder, name)
    with duckdb.connect() as connection:
        for one, table in tables().items():
            connection.register(one, table)
        expected = connection.sql(STARS[name][2]).to_arrow_table()
    assert found.table.column_names == expected.column_names
    assert rows_of(found.table) == rows_of(expected)
    assert {split.input for split in found.plan.splits} == {0}
    other = carried_out(found.plan, 0, 50_000, folder / "scratch", 33, 1 << 13)
    assert other.files.files == found.files.files


def test_one_side_is_the_join_with_it(folder: Path) -> None:
    """The files are those of a broadcast join."""
    star = carried_out(planned(job_of(folder, [side(1, "Left", ("product",), where="l.day < r.until")], ["prices"])))
    plain = job_of(folder, [], ["prices"])
    operation = Join("Left", 0, 1, ["product"], ["product"], where="l.day < r.until")
    job = Job("uid", "job", operation, plain.inputs, plain.output, 2, 512 << 20)
    assert carried_out(planned(job, broadcast=8 << 20)).files.files == star.files.files


def test_what_explain_says(folder: Path) -> None:
    said = text_of(done(folder, "two").plan)
    assert "joins of facts with customers (left on customer = id); prices (inner on product, where l.day" in said
    assert "broadcast: every worker reads customers (about " in said


def test_sides_that_do_not_fit_together_are_refused_with_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides, names, _ = STARS["two"]
    plan = planned(job_of(folder, sides, names))
    monkeypatch.setattr(strategy, "room", lambda batch_bytes: batch_bytes // (16 << 10))
    said = r"operation.join.sides: every worker holds these sides in memory, and customers is about .* \(80 rows of"
    with pytest.raises(OutOfMemory, match=said):
        planned(job_of(folder, sides, names))
    monkeypatch.setattr(broadcasting, "room", lambda _: 7000)  # enough for the first side
    with pytest.raises(OutOfMemory, match=r"every worker holds prices in memory, and its rows are .* not the 6.8 KiB"):
        carried_out(plan)


@pytest.mark.parametrize(
    ("sides", "more", "said"),
    [
        ([side(1, on=("custmer",), right_on=("id",))], {}, r"sides\[0\].leftOn\[0\]: what is joined so far has no"),
        ([side(1, on=("customer",), right_on=("idd",))], {}, r"sides\[0\].rightOn\[0\]: the input has no column 'idd'"),
        ([side(1, on=("product",), right_on=("id",))], {}, r"sides\[0\].leftOn\[0\]: 'product' of the left"),
        ([side(1, on=("customer",), right_on=("id",), suffixes=["", ""])], {}, r"sides\[0\].suffixes: .*'name'"),
        ([side(1, on=("customer",), right_on=("id",), where="l.x > 1")], {}, r"where: the join has no column 'l.x'"),
        ([side(1, "Cross", ("customer",), right_on=("id",))], {}, r"sides\[0\].type: a Cross join has no keys"),
        ([side(1, on=("customer",), right_on=("id",))], {"facts": ["day"]}, r"'customer' is a key but not among"),
        ([side(1, on=("customer",), right_on=("id",))], {"within": ["vat"]}, r"output.sortWithin\[0\]: the"),
    ],
)  # fmt: skip
def test_bad_input(folder: Path, sides: list[Join], more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        planned(job_of(folder, sides, ["customers"], **more))
