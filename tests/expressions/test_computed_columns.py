"""Computed columns of an input: columns as all others, in keys, filters and aggregations, of any format; whole jobs."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused
from tests.groupby import in_process
from tests.groupby.in_process import Cut
from tests.plan import jobs as plans

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.jobs import Aggregation, AnyOperation, GroupBy, Repartition, Sort, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.explain import explain

START = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - without a zone is meant
ROWS = 2000
EVENTS = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "email": pa.array([None if n % 17 == 0 else f"User{n % 31}@{'AbC'[n % 3]}.example" for n in range(ROWS)]),
        "ts": pa.array([START + datetime.timedelta(minutes=13 * n) for n in range(ROWS)], pa.timestamp("us")),
        "amount": pa.array([None if n % 11 == 0 else float(n % 101) - 50 for n in range(ROWS)]),
        "country": pa.array(["de", "AT", "ch"][n % 3] for n in range(ROWS)),
    }
)
COMPUTE = {
    "day": "date_trunc('day', ts)",
    "email": "lower(email)",
    "domain": "split_part(email, '@', 2)",
    "size": "CASE WHEN amount > 25 THEN 'large' WHEN amount IS NULL THEN 'none' ELSE 'small' END",
    "key": "concat(domain, '/', size)",
}
AS_SQL = """SELECT id, lower(email) AS email, ts, amount, country, date_trunc('day', ts) AS day,
split_part(email, '@', 2) AS domain,
CASE WHEN amount > 25 THEN 'large' WHEN amount IS NULL THEN 'none' ELSE 'small' END AS size,
concat(split_part(email, '@', 2), '/', size) AS key FROM events"""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    for number in range(3):
        part = EVENTS.slice(number * 700, 700)
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=100)
    return folder


def asked(sql: str, **tables: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        for name, table in {"events": EVENTS, **tables}.items():
            connection.register(name, table)
        connection.sql(f"CREATE TABLE computed AS {AS_SQL}")
        return connection.sql(sql).to_arrow_table()


def written(folder: Path, spec: Mapping[str, Any], operation: Mapping[str, Any], **output: Any) -> pa.Table:
    out = folder / "out"
    carry_out(job_of(spec, {"path": str(out), "compression": "None", **output}, operation), folder / "scratch")
    found: pa.Table = ds.dataset(out, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table()
    return found


def alike(mine: pa.Table, wanted: pa.Table) -> None:
    """The same rows, in any order, of types that mean the same."""
    assert sorted(mine.column_names) == sorted(wanted.column_names)
    names = sorted(wanted.column_names)
    both = [sorted(map(repr, one.select(names).to_pylist())) for one in (mine, wanted)]
    assert both[0] == both[1]


def test_computed_columns_take_their_places_and_come_behind_the_others(events: Path, tmp_path: Path) -> None:
    found = written(tmp_path, {"path": str(events), "compute": COMPUTE}, {"repartition": {}}, partitions=2)
    assert found.column_names == ["id", "email", "ts", "amount", "country", "day", "domain", "key", "size"]
    alike(found, asked("FROM computed"))


@pytest.mark.parametrize(
    ("operation", "sql"),
    [
        ({"repartition": {"by": ["key"]}}, "FROM computed"),
        ({"repartition": {"range": ["day"]}}, "FROM computed"),
        ({"sort": {"by": [{"column": "email"}, {"column": "day", "order": "Descending"}]}}, "FROM computed"),
        ({"distinct": {"by": ["key"]}}, "SELECT arg_min(computed, id) AS x FROM computed GROUP BY key"),
        (
            {"distinct": {"by": ["domain"], "orderBy": [{"column": "day", "order": "Descending"}, {"column": "id"}]}},
            "FROM computed QUALIFY row_number() OVER (PARTITION BY domain ORDER BY day DESC, id) = 1",
        ),
        ({"cluster": {"by": ["key", "day"]}}, "FROM computed"),
        ({"repartition": {"random": {"seed": 3}}}, "FROM computed"),
        (
            {
                "groupBy": {
                    "by": ["day", "domain"],
                    "aggregations": [
                        {"function": "count", "as": "rows"},
                        {"function": "max", "column": "email", "as": "last"},
                    ],
                }
            },
            "SELECT day, domain, count(*) AS rows, max(email) AS last FROM computed GROUP BY day, domain",
        ),
    ],
    ids=["hash", "range", "sort", "distinct", "newest", "cluster", "random", "groupBy"],
)
def test_a_computed_column_is_a_key(events: Path, tmp_path: Path, operation: dict[str, Any], sql: str) -> None:
    found = written(tmp_path, {"path": str(events), "compute": COMPUTE}, operation, partitions=3)
    wanted = asked(sql)
    if wanted.column_names == ["x"]:
        wanted = pa.Table.from_pylist(wanted["x"].to_pylist())
    alike(found, wanted)
    if "sort" in operation:
        files = [pq.read_table(path) for path in sorted((tmp_path / "out").glob("*.parquet"))]
        emails = [email for file in files for email in file["email"].to_pylist() if email is not None]
        assert len(files) == 3
        assert emails == sorted(emails)


def test_both_sides_of_a_join_have_computed_keys(events: Path, tmp_path: Path) -> None:
    countries = pa.table({"code": ["DE", "AT"], "name": ["Germany", "Austria"]})
    (tmp_path / "countries").mkdir()
    pq.write_table(countries, tmp_path / "countries/a.parquet")
    join = {"join": {"left": "e", "right": "c", "leftOn": ["code"], "rightOn": ["code"], "type": "Inner"}}
    inputs = [
        {"name": "e", "path": str(events), "columns": ["id", "code"], "compute": {"code": "upper(country)"}},
        {"name": "c", "path": str(tmp_path / "countries"), "compute": {"code": "left(code, 2)", "name": "upper(name)"}},
    ]
    out = tmp_path / "out"
    carry_out(job_of({}, {"path": str(out)}, join, inputs=inputs), tmp_path / "scratch")
    found = pq.read_table(out, columns=["id", "code", "name"])
    sql = "SELECT id, code, upper(name) AS name FROM events JOIN countries ON code = upper(country)"
    alike(found, asked(sql, countries=countries))


def test_an_as_of_join_goes_by_computed_times(events: Path, tmp_path: Path) -> None:
    marks = pa.table(
        {"name": ["DE", "AT", "DE"], "since": ["2026-01-03", "2026-01-05", "2026-01-09"], "mark": [1, 2, 3]}
    )
    (tmp_path / "marks").mkdir()
    pq.write_table(marks, tmp_path / "marks/a.parquet")
    as_of = {"left": "day", "right": "day"}
    join = {"join": {"type": "AsOf", "left": "e", "right": "m", "on": ["code"], "asOf": as_of}}
    compute = {"code": "upper(country)", "day": "CAST(ts AS DATE)"}
    inputs = [
        {"name": "e", "path": str(events), "columns": ["id", "code", "day"], "compute": compute},
        {
            "name": "m",
            "path": str(tmp_path / "marks"),
            "columns": ["code", "day", "mark"],
            "compute": {"code": "name", "day": "CAST(since AS DATE)"},
        },
    ]
    carry_out(job_of({}, {"path": str(tmp_path / "out")}, join, inputs=inputs), tmp_path / "scratch")
    found = pq.read_table(tmp_path / "out", columns=["id", "mark"])
    sql = """SELECT id, mark FROM events ASOF LEFT JOIN marks
    ON upper(country) = name AND CAST(ts AS DATE) >= CAST(since AS DATE)"""
    alike(found, asked(sql, marks=marks))


def test_folders_by_a_computed_column(events: Path, tmp_path: Path) -> None:
    source = {"path": str(events), "columns": ["id", "month"], "compute": {"month": "strftime(ts, '%Y-%m')"}}
    found = written(tmp_path, source, {"repartition": {"by": ["month"]}}, partitionBy=["month"])
    assert {path.name for path in (tmp_path / "out").glob("month=*")} == {"month=2026-01"}
    assert found.num_rows == ROWS


def test_the_filter_sees_computed_columns_and_only_what_is_needed_is_read(events: Path, tmp_path: Path) -> None:
    source = {
        "path": str(events),
        "columns": ["id", "domain"],
        "compute": COMPUTE,
        "filter": "size = 'large' AND email LIKE 'user1%' AND day >= '2026-01-05'",
    }
    found = written(tmp_path, source, {"repartition": {}})
    wanted = "SELECT id, domain FROM computed WHERE size = 'large' AND email LIKE 'user1%' AND day >= '2026-01-05'"
    alike(found, asked(wanted))
    assert 0 < found.num_rows < 200


def plan(folder: Path, compute: dict[str, str], **rest: Any) -> Plan:
    operation = rest.pop("operation", None)
    one = plans.job(folder, operation, paths=[str(folder / "in")], **rest)
    inputs = [msgspec.structs.replace(one.inputs[0], compute=compute)]
    return plans.plan_of(msgspec.structs.replace(one, inputs=inputs))


def groups_read(one: Plan) -> int:
    return sum(len(piece.row_groups) for split in one.splits for piece in split.pieces)


@pytest.mark.parametrize(
    ("compute", "condition", "groups"),
    [
        ({"day": "date_trunc('day', ts)"}, "day = '2026-01-05'", 2),
        ({"day": "CAST(ts AS DATE)"}, "day < '2026-01-02'", 2),
        ({"next": "day + 1", "day": "CAST(ts AS DATE)"}, "next <= '2026-01-02'", 2),
        ({"id": "id + 100"}, "id >= 2050", 1),
        ({"id": "-id"}, "id >= 0", 20),
        ({"id": "1999 - id"}, "id <= 5", 20),
        ({"x": "email"}, "id < 100", 1),
        ({"gone": "coalesce(email, 'x')"}, "gone = 'x'", 20),
    ],
)
def test_row_groups_are_left_out_where_that_is_exact(
    tmp_path: Path, compute: dict[str, str], condition: str, groups: int
) -> None:
    plans.write(tmp_path, {"a.parquet": EVENTS}, row_group_size=100)
    one = plan(tmp_path, compute, filter=condition)
    assert groups_read(one) == groups
    table, _ = plans.read_all(one)
    sql = ", ".join(f"{text} AS {name}" for name, text in compute.items() if name != "next")
    others = [name for name in EVENTS.column_names if name not in compute]
    inner = f"SELECT {', '.join(others)}, {sql} FROM events"
    outer = "SELECT *, day + 1 AS next FROM" if "next" in compute else "FROM"
    assert table.num_rows == asked(f"SELECT count(*) AS n FROM ({outer} ({inner})) WHERE {condition}")["n"][0].as_py()


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    plans.write(tmp_path, {"a.parquet": EVENTS})
    one = plan(tmp_path, COMPUTE, columns=["id", "domain"], filter="day > '2026-01-02'")
    names = ("id", "email", "ts")
    found = pq.ParquetFile(tmp_path / "in/a.parquet").metadata
    stored = sum(
        found.row_group(group).column(at).total_compressed_size
        for group in range(found.num_row_groups)
        for at, name in enumerate(EVENTS.column_names)
        if name in names
    )
    assert sum(split.bytes for split in one.splits) == stored
    shown = explain(one, Budgets.for_limit(one.job.memory)).inputs[0]
    assert shown.columns == ["id", "domain"]
    assert shown.filter_columns == ["day"]
    assert sorted(shown.compute) == ["day", "domain"]
    tree = one.summary.tree
    assert tree is not None
    text = str(tree)
    assert "day = date_trunc('day', ts)" in text
    assert "to compute others" in text


def test_a_column_of_folders_is_computed_with(tmp_path: Path) -> None:
    tables = {f"country={name}/a.parquet": EVENTS.drop_columns("country").slice(0, 10) for name in ("de", "at")}
    plans.write(tmp_path, tables)
    one = plan(tmp_path, {"country": "upper(country)", "level": "id + 1"}, filter="country = 'DE' AND level > 5")
    table, _ = plans.read_all(one)
    assert table["country"].to_pylist() == ["DE"] * 5
    assert table["level"].to_pylist() == [6, 7, 8, 9, 10]


def test_a_file_without_the_column_gives_nulls_to_compute_with(tmp_path: Path) -> None:
    plans.write(tmp_path, {"a.parquet": EVENTS.slice(0, 5), "b.parquet": EVENTS.slice(5, 5).drop_columns("email")})
    one = plan(
        tmp_path, {"email": "coalesce(lower(email), 'nobody')"}, columns=["id", "email"], filter="email = 'nobody'"
    )
    table, _ = plans.read_all(one)
    assert table["id"].to_pylist() == [0, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "orc", "feather"])
def test_of_every_format(tmp_path: Path, suffix: str) -> None:
    from pyarrow import feather, orc

    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"a.{suffix}"
    rows = EVENTS.slice(0, 50)
    if suffix == "csv":
        pyarrow.csv.write_csv(rows, path)
    elif suffix == "jsonl":
        import json

        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows.to_pylist()))
    elif suffix == "orc":
        orc.write_table(rows, path)
    else:
        feather.write_feather(rows, str(path))
    source = {"path": str(tmp_path / "in"), "compute": {"ts": "date_trunc('day', ts)", "id": "id * 2", "m": "'x'"}}
    found = written(tmp_path, source, {"repartition": {}})
    sql = "SELECT id * 2 AS id, email, date_trunc('day', ts) AS ts, amount, country, 'x' AS m FROM events LIMIT 50"
    assert found.sort_by("id")["ts"].cast(pa.timestamp("us")).to_pylist() == asked(sql)["ts"].to_pylist()
    assert set(found["m"].to_pylist()) == {"x"}


def test_the_column_that_is_replaced_need_not_be_read(tmp_path: Path) -> None:
    """Also where all columns of the text are read strictly."""
    (tmp_path / "in").mkdir()
    pyarrow.csv.write_csv(EVENTS.slice(0, 50), tmp_path / "in/a.csv")
    found = written(tmp_path, {"path": str(tmp_path / "in"), "compute": {"email": "'gone'"}}, {"repartition": {}})
    assert found["email"].to_pylist() == ["gone"] * 50


def test_boundaries_are_of_the_computed_values(tmp_path: Path) -> None:
    """Not of the column that has the name in the files."""
    plans.write(tmp_path, {"a.parquet": EVENTS})
    falling = Sort([SortKey("id")])
    one = plan(tmp_path, {"id": "1999 - id"}, operation=falling, partitions=4)
    other = plan(tmp_path, {"other": "1999 - id"}, operation=Sort([SortKey("other")]), partitions=4)
    assert one.boundaries is not None
    assert other.boundaries is not None
    found = [pa.ipc.open_stream(each.boundaries).read_all().column(0).to_pylist() for each in (one, other)]
    assert found[0] == found[1]
    assert len(found[0]) == 3


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        ({"x": "lowr(email)"}, "inputs[0].compute.x: lowr is not supported; did you mean lower?"),
        ({"x": "lower(emial)"}, "inputs[0].compute.x: the input has no column 'emial'; did you mean 'email'?"),
        ({"x": "x + 1"}, "inputs[0].compute.x: is computed from itself, and the input has no column 'x'"),
        ({"x": "y", "y": "z", "z": "x"}, "is computed in a circle; spell one of them out"),
        ({"two words": "id +"}, 'inputs[0].compute["two words"]: something is missing here'),
        ({"x": "id > "}, "inputs[0].compute.x: something is missing here"),
        ({"x": "NULL"}, "say of what type"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path: Path, compute: dict[str, str], said: str) -> None:
    plans.write(tmp_path, {"a.parquet": EVENTS})
    with pytest.raises(InvalidSpec) as refusal:
        plan(tmp_path, compute)
    assert said in refusal.value.message


def test_a_key_of_a_type_that_has_no_order_is_refused(tmp_path: Path) -> None:
    plans.write(tmp_path, {"a.parquet": pa.table({"l": [[[1]], [[2]]]})})
    with refused(InvalidSpec, "operation.repartition.by[0]", "can be neither ordered nor hashed"):
        plan(tmp_path, {"x": "l[1]"}, operation=Repartition(["x"]))


def test_a_row_that_has_no_result_is_named_by_its_file(events: Path, tmp_path: Path) -> None:
    source = {"path": str(events), "compute": {"small": "CAST(id AS TINYINT)"}}
    with refused(DataError, "/0.parquet: inputs[0].compute.small: CAST(id AS TINYINT): cannot be worked out"):
        written(tmp_path, source, {"repartition": {}})


def test_files_partitioned_by_a_column_are_not_by_one_computed_in_its_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        table = pa.table({"k": list("ABCDEFGHabcdefgh"), name: range(16)})
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "0.parquet")
        job = job_of(
            tmp_path / name, {"path": str(tmp_path / f"by-{name}"), "partitions": 3}, {"repartition": {"by": ["k"]}}
        )
        carry_out(job, tmp_path / "scratch")
    join = {"join": {"left": "a", "right": "b", "on": ["k"], "type": "Full"}}
    inputs = [{"name": name, "path": str(tmp_path / f"by-{name}"), "compute": {"k": "lower(k)"}} for name in ("a", "b")]
    out = tmp_path / "out"
    carry_out(job_of({}, {"path": str(out)}, join, inputs=inputs), tmp_path / "scratch")
    assert pq.read_table(out).num_rows == 8 * 2 * 2


def test_notes_of_pandas_keep_to_what_is_still_there(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "in").mkdir()
    pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(tmp_path / "in/a.parquet")
    found = written(
        tmp_path, {"path": str(tmp_path / "in"), "compute": {"a": "CAST(a AS TEXT)", "c": "a + 1"}}, {"repartition": {}}
    )
    assert found.to_pandas()["a"].tolist() == ["1", "2"]
    assert found.to_pandas()["c"].tolist() == [2, 3]


@pytest.mark.parametrize(
    "operation",
    [
        Sort([SortKey("email"), SortKey("day")]),
        GroupBy(["day"], [Aggregation("count", "email", "n")]),
        Repartition(["email"]),
    ],
    ids=["sort", "groupBy", "hash"],
)
def test_neither_memory_nor_batches_nor_buckets_show(events: Path, tmp_path: Path, operation: AnyOperation) -> None:
    job = in_process.job_of(str(events), operation, partitions=3, compute=COMPUTE, filter="size <> 'none'")
    output = msgspec.structs.replace(
        job.output, compute={"late": "day + INTERVAL '1 day'"}, filter="late > '2026-01-03'"
    )
    plan = in_process.planned(msgspec.structs.replace(job, output=output))
    cuts = [Cut(), Cut(buckets=3, memory=2 << 20, batch_rows=97), Cut(batch_bytes=1 << 16, backwards=True)]
    found = [in_process.carried_out(plan, cut, tmp_path).files for cut in cuts]
    assert found[0] == found[1] == found[2]
