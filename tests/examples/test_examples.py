"""Every example is valid, and those that need no cluster do what their first line says."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shuffle_local.cli.main import execute
from shuffle_operator.api.resolve import unsupported
from shuffle_operator.api.validation import load_job
from shuffle_worker.partitioning.random_keys import random_keys

PROJECT = Path(__file__).parents[2]
EXAMPLES = sorted(
    file for file in (PROJECT / "examples").rglob("*.yaml") if "\nkind: ShuffleJob\n" in file.read_text()
)  # the others are workflows with jobs inside: tests/argo


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_valid_and_named_after_its_file(file: Path) -> None:
    job = load_job(file)
    assert job.metadata.name == file.stem
    assert unsupported(job, local=False) == []
    assert file.read_text().startswith("# ")


def run(demo: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> list[pa.Table]:
    """The output files of an example, in order."""
    monkeypatch.chdir(demo)
    file = PROJECT / "examples" / f"{name}.yaml"
    job = load_job(file)
    assert execute(["run", str(file), "--quiet", "--workers", "1", "--memory", "512Mi"]) == 0
    output = demo / job.spec.output.path
    assert (output / "_SUCCESS").exists()
    parts = sorted(output.glob("part-*.parquet"))
    if job.spec.output.partitions is not None:
        assert len(parts) == job.spec.output.partitions
    return [pq.read_table(part) for part in parts]


def by_event(table: pa.Table) -> pa.Table:
    return table.sort_by("event_id").combine_chunks()


def assert_apart(parts: list[pa.Table], column: str) -> None:
    """No value is in two files."""
    values = [value for part in parts for value in part[column].unique().to_pylist()]
    assert len(values) == len(set(values))


def test_by_hash(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "repartition-by-hash")
    assert_apart(parts, "user_id")
    assert by_event(pa.concat_tables(parts)).equals(by_event(events))


def test_by_range(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "repartition-by-range")
    ranges = [pc.min_max(part["amount"]).as_py() for part in parts if part.num_rows]
    assert len(ranges) > 4
    assert all(low["max"] < high["min"] for low, high in itertools.pairwise(ranges))
    wanted = events.filter(pc.equal(events["kind"], "purchase"))
    assert by_event(pa.concat_tables(parts)).equals(by_event(wanted))


def test_round_robin(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "round-robin")
    assert by_event(pa.concat_tables(parts)).equals(by_event(events))


def test_random_order(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "random-order"))
    assert by_event(found).equals(by_event(events))
    order = np.argsort(random_keys(np.arange(events.num_rows), 42))
    assert found["event_id"].to_pylist() == events["event_id"].take(pa.array(order)).to_pylist()


def test_nearby_rows(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "nearby-rows")
    assert by_event(pa.concat_tables(parts)).equals(by_event(events))
    for column in ("user_id", "ts"):
        values = sorted(events[column].cast(pa.int64()).to_pylist())
        half = values[len(values) // 2]
        ends = [pc.min_max(part[column].cast(pa.int64())).as_py() for part in parts if part.num_rows]
        assert sum(end["min"] < half <= end["max"] for end in ends) < len(parts) / 2  # most are on one side of it


def test_global_sort(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "global-sort")
    keys = events.select(["amount", "ts", "event_id"]).to_pylist()
    keys.sort(key=lambda row: row["ts"])
    keys.sort(key=lambda row: (row["amount"] is None, -(row["amount"] or 0)))
    found = pa.concat_tables(parts)
    assert found.select(["amount", "ts", "event_id"]).to_pylist() == keys
    assert by_event(found).equals(by_event(events))


def test_computed_columns(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "computed-columns"))
    with duckdb.connect() as connection:
        connection.register("events", events)
        wanted = connection.sql(
            "SELECT date_trunc('day', ts) AS day, coalesce(lower(country), 'unknown') AS country, "
            "count(*) AS purchases, CAST(sum(CAST(round(amount * 100) AS BIGINT)) AS BIGINT) AS cents FROM events "
            "WHERE kind = 'purchase' AND ts >= '2026-01-15' GROUP BY ALL"
        ).to_arrow_table()
    assert found.column_names == ["day", "country", "purchases", "cents"]
    keys = [("day", "ascending"), ("country", "ascending")]
    assert found.sort_by(keys).equals(wanted.cast(found.schema).sort_by(keys))


def test_busy_users(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "busy-users"))
    with duckdb.connect() as connection:
        connection.register("events", events)
        wanted = connection.sql(
            "SELECT user_id, count(*) AS events, round(sum(amount) / count(*), 2) AS mean, "
            "CAST(max(ts) AT TIME ZONE 'UTC' AS DATE) AS latest FROM events GROUP BY user_id "
            "HAVING count(*) >= 3 AND sum(amount) IS NOT NULL"
        ).to_arrow_table()
    assert found.column_names == wanted.column_names
    assert found.sort_by("user_id").to_pylist() == wanted.sort_by("user_id").to_pylist()


def test_filter_and_columns(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "filter-and-columns")
    assert_apart(parts, "user_id")
    for part in parts:
        assert part.equals(part.sort_by([("user_id", "ascending"), ("ts", "ascending")]))
    since = pa.scalar(1_768_435_200_000_000).cast(pa.timestamp("us", tz="UTC"))
    near = pc.is_in(events["country"], pa.array(["DE", "AT", "CH"]))
    wanted = events.filter(pc.and_(pc.and_(near, pc.is_valid(events["amount"])), pc.greater_equal(events["ts"], since)))
    wanted = wanted.select(["user_id", "ts", "country", "amount"])
    assert 0 < wanted.num_rows < events.num_rows
    order = [("user_id", "ascending"), ("ts", "ascending")]
    assert pa.concat_tables(parts).sort_by(order).combine_chunks().equals(wanted.sort_by(order).combine_chunks())


def test_to_csv_and_to_folders(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    for name in ("to-csv", "csv-to-folders"):
        file = PROJECT / "examples" / f"{name}.yaml"
        assert execute(["run", str(file), "--quiet", "--workers", "1", "--memory", "512Mi"]) == 0
    assert len(list((demo / "demo" / "csv").glob("part-*.csv"))) == 3
    folder = demo / "demo" / "csv-to-folders"
    names = {"event_id", "user_id", "ts", "country", "kind", "amount"}
    found: list[pa.Table] = []
    for file in folder.rglob("part-*.parquet"):
        table = pq.ParquetFile(file).read()
        country = file.parent.name.removeprefix("country=")
        value = None if country == "__HIVE_DEFAULT_PARTITION__" else country
        column = pa.array([value] * len(table), pa.string())
        found.append(table.append_column("country", column).select(sorted(names)))
        assert table["ts"].to_pylist() == sorted(table["ts"].to_pylist())
    assert len(found) == len(events["country"].unique())  # one file each
    assert by_event(pa.concat_tables(found)).to_pylist() == by_event(events.select(sorted(names))).to_pylist()


def test_group_by(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "group-by")
    order = [("user_id", "ascending"), ("kind", "ascending")]
    assert all(part.equals(part.sort_by(order)) for part in parts)
    query = """select user_id, kind, count(*) events, sum(amount) total, median(amount::double) median_amount,
        count(distinct country) countries, min(ts) first_seen from events group by all order by all"""
    expected = duckdb.sql(query).to_arrow_table()
    found = pa.concat_tables(parts).sort_by(order)
    assert found.schema.names == expected.schema.names
    for name in found.schema.names:
        if name == "first_seen":
            assert found[name].cast(pa.int64()).to_pylist() == expected[name].cast(pa.int64()).to_pylist()
        else:
            assert found[name].to_pylist() == expected[name].to_pylist()


def test_distinct(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "distinct"))
    last = {user: row for row, user in enumerate(events["user_id"].to_pylist())}
    assert by_event(found).equals(by_event(events.take(pa.array(sorted(last.values())))))


def test_newest_row(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "newest-row"))
    query = "select * from events qualify row_number() over (partition by user_id order by ts desc, event_id) = 1"
    expected = duckdb.sql(f"select event_id from ({query}) order by event_id").to_arrow_table()["event_id"].to_pylist()
    assert by_event(found)["event_id"].to_pylist() == expected
    assert by_event(found).equals(by_event(events.filter(pc.is_in(events["event_id"], pa.array(expected)))))


def test_visits(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "visits"))
    assert by_event(found.select(events.column_names)).equals(by_event(events))
    users: dict[int, list[dict[str, object]]] = {}
    for row in events.sort_by([("ts", "ascending"), ("event_id", "ascending")]).to_pylist():
        users.setdefault(row["user_id"], []).append(row)
    made = {row["event_id"]: row for row in found.select(["event_id", "nr", "visit", "since", "spent"]).to_pylist()}
    for rows in users.values():
        visit, spent, before = 0, Decimal(0), None
        for number, row in enumerate(rows, 1):
            visit += before is None or row["ts"] - before > timedelta(minutes=30)
            since = None if before is None else int(row["ts"].timestamp()) - int(before.timestamp())
            spent, before = spent + (row["amount"] or 0), row["ts"]
            one = made[row["event_id"]]
            assert (one["nr"], one["visit"], one["since"]) == (number, visit, since)
            assert (one["spent"] or 0) == spent


def test_join(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "join"))
    columns = ["user_id", "ts", "amount"]
    refunds, purchases = (
        events.filter(pc.equal(events["kind"], kind)).select(columns) for kind in ("refund", "purchase")
    )
    bought: dict[int, list[tuple[object, object]]] = {}
    for row in purchases.to_pylist():
        bought.setdefault(row["user_id"], []).append((row["ts"], row["amount"]))
    expected = [
        (row["user_id"], row["ts"], row["amount"], *pair)
        for row in refunds.select(columns).to_pylist()
        for pair in bought.get(row["user_id"], [(None, None)])
    ]
    assert found.column_names == [*columns, "ts_bought", "amount_bought"]
    assert len({row[3] is None for row in expected}) == 2  # with and without a partner
    assert sorted(map(repr, expected)) == sorted(repr(tuple(row.values())) for row in found.to_pylist())


def test_as_of_join(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "as-of-join"))
    assert found.column_names == ["user_id", "ts", "amount", "ts_viewed", "page"]
    views: dict[int, list[tuple[datetime, str | None]]] = {}
    rows = events.select(["kind", "user_id", "ts", "amount", "page"]).to_pylist()
    for row in rows:
        if row["kind"] == "view":
            views.setdefault(row["user_id"], []).append((row["ts"], row["page"]))
    expected = []
    for row in (row for row in rows if row["kind"] == "purchase"):
        seen = [
            view for view in views.get(row["user_id"], []) if row["ts"] - timedelta(days=30) <= view[0] <= row["ts"]
        ]
        last = max(seen, key=lambda view: view[0]) if seen else (None, None)
        expected.append((row["user_id"], row["ts"], row["amount"], *last))
    assert len({row[3] is None for row in expected}) == 2  # with and without one
    assert sorted(map(repr, expected)) == sorted(repr(tuple(row.values())) for row in found.to_pylist())


@pytest.mark.parametrize(
    ("name", "kind", "condition"),
    [
        ("range-join", "left", "l.user_id = r.user_id and r.ts <= l.ts and l.ts < r.ts + interval '30 days'"),
        ("cross-join", "inner", "l.user_id <> r.user_id and r.ts <= l.ts and l.ts < r.ts + interval '10 minutes'"),
    ],
)
def test_joins_with_a_condition(
    demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, condition: str
) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, name))
    other = "user_id as user_id_bought, " if kind == "inner" else ""
    assert found.num_rows
    assert found.column_names[:4] == ["user_id", "ts", "amount", "user_id_bought" if other else "ts_bought"]
    query = f"""select l.user_id, l.ts, l.amount, {other and "r."}{other} r.ts, r.amount
        from (from events where kind = 'refund') l {kind} join (from events where kind = 'purchase') r on {condition}"""
    expected = duckdb.sql(query).to_arrow_table().rename_columns(found.column_names).cast(found.schema)
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))


def test_star_join(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "star-join"))
    expected = duckdb.sql(
        """with p as (from events where kind = 'purchase'), r as (from events where kind = 'refund')
        select p.user_id, p.ts, p.amount, r.ts ts_refund, r.amount amount_refund from p left join r
        on p.user_id = r.user_id and p.ts <= r.ts
        where exists (from events v where v.kind = 'view' and v.user_id = p.user_id and v.ts < p.ts)"""
    ).to_arrow_table()
    assert found.num_rows
    assert found.column_names == expected.column_names
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.cast(found.schema).to_pylist()))


def test_union(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "union")
    found = pa.concat_tables(parts)
    expected = duckdb.sql(
        """select ts, user_id, if(kind = 'refund', -amount, amount) amount, kind || 's' entry from events
        where kind in ('refund', 'purchase') order by ts, user_id"""
    ).to_arrow_table()
    expected = expected.cast(found.schema)
    assert found.select(["ts", "user_id"]).equals(expected.select(["ts", "user_id"]))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))


def test_the_demo(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):  # it replaces its own output
        parts = run(demo, monkeypatch, "demo/events-by-user")
    assert_apart(parts, "user_id")
    assert all(part["ts"].to_pylist() == sorted(part["ts"].to_pylist()) for part in parts)
    assert by_event(pa.concat_tables(parts)).equals(by_event(events))


def test_rechunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands at the head of the example, as they stand there, but for the installation."""
    import xarray as xr

    file = PROJECT / "examples" / "rechunk.yaml"
    (make, job) = re.findall(r"^#   (python|shuffle) (.*?)(?: {2,}#.*)?$", file.read_text(), re.MULTILINE)
    assert make == ("python", "examples/demo/make_weather.py demo/weather.zarr")
    assert job == ("shuffle", "run examples/rechunk.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    made = subprocess.run([sys.executable, *make[1].split()], capture_output=True, text=True, check=True)
    assert "Made 30 days of temperatures" in made.stderr
    assert execute([*job[1].split(), "--quiet", "--workers", "1", "--memory", "512Mi"]) == 0
    before = xr.open_zarr(tmp_path / "demo" / "weather.zarr")
    after = xr.open_zarr(tmp_path / "demo" / "weather-by-place.zarr")
    assert before.t2m.encoding["chunks"] == (24, 73, 144)
    assert after.t2m.encoding["chunks"] == (720, 12, 12)
    assert str(before.time.dtype).startswith("datetime64")
    xr.testing.assert_identical(before.load(), after.load())
    again = subprocess.run([sys.executable, *make[1].split()], capture_output=True, text=True, check=True)
    assert "is there already" in again.stderr


def test_visits_by_referrer(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "map/visits-by-referrer")
    assert_apart(parts, "referrer")
    for part in parts:
        assert part["ts"].to_pylist() == sorted(part["ts"].to_pylist())
    found = pa.concat_tables(parts)
    assert found.column_names == ["event_id", "ts", "path", "referrer"]
    views = events.filter(pc.and_(pc.equal(events["kind"], "view"), pc.is_valid(events["page"])))
    expected = {}
    for event, page in zip(views["event_id"].to_pylist(), views["page"].to_pylist(), strict=True):
        path, _, query = page.partition("?")
        expected[event] = (path, query.removeprefix("ref=") or "nobody")
    columns = (found[name].to_pylist() for name in ("event_id", "path", "referrer"))
    assert {event: (path, referrer) for event, path, referrer in zip(*columns, strict=True)} == expected


def test_both_logs(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pa.concat_tables(run(demo, monkeypatch, "map/both-logs"))
    expected = duckdb.sql(
        """select ts "at", user_id "user", round(amount * 100)::bigint cents, 'purchases' log from events
        where kind = 'purchase' union all by name
        select ts "at", user_id "user", split_part(page, '?', 1) path, 'views' log from events
        where kind = 'view' and page is not null"""
    ).to_arrow_table()
    assert found.column_names == ["at", "user", "cents", "log", "path"]
    assert found["at"].to_pylist() == sorted(found["at"].to_pylist())
    expected = expected.rename_columns(["at", "user", "cents", "log", "path"]).cast(found.schema)
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))


def test_sessions_of_users(demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run(demo, monkeypatch, "apply/sessions-of-users")
    found = pa.concat_tables(parts)
    assert pc.sum(found["events"]).as_py() == events.num_rows
    assert sorted(found["user_id"].unique().to_pylist()) == sorted(events["user_id"].unique().to_pylist())
    for part in parts:
        assert part["start"].to_pylist() == sorted(part["start"].to_pylist())
    assert_apart(parts, "user_id")
