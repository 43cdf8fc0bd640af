"""docs/recipes.md: every job on the page is run, and does what the page says."""

from __future__ import annotations

import itertools
import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import yaml

from shuffle_local.cli.main import execute

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text()
JOBS = {yaml.safe_load(text)["metadata"]["name"]: text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}


@pytest.fixture
def folder(demo: Path, tmp_path: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's events, some of them again, and all of them in many small files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/events").symlink_to(demo / "demo/events", target_is_directory=True)
    for name in ("events-again", "small"):
        (tmp_path / "demo" / name).mkdir()
    pq.write_table(events.slice(100, 500), tmp_path / "demo/events-again/more.parquet")
    for at in range(0, events.num_rows, 100):
        pq.write_table(events.slice(at, 100), tmp_path / f"demo/small/{at:05}.parquet")
    return tmp_path


def run(folder: Path, name: str) -> list[Path]:
    """The output files of a recipe."""
    Path("job.yaml").write_text(JOBS[name])
    assert execute(["validate", "job.yaml"]) == 0
    assert execute(["run", "job.yaml", "--quiet", "--workers", "2", "--memory", "512Mi"]) == 0
    output = folder / yaml.safe_load(JOBS[name])["spec"]["output"]["path"]
    return sorted(output.glob("part-*"))


def whole(files: list[Path]) -> pa.Table:
    return pa.concat_tables(pq.read_table(file) for file in files)


def test_without_duplicates(folder: Path, events: pa.Table) -> None:
    found = whole(run(folder, "without-duplicates"))
    assert sorted(found["event_id"].to_pylist()) == sorted(events["event_id"].to_pylist())


def test_changes(folder: Path, events: pa.Table) -> None:
    found = whole(run(folder, "changes"))
    window = "(partition by user_id order by ts, event_id rows unbounded preceding)"
    expected = duckdb.sql(
        f"""select user_id, ts, event_id, amount, amount - lag(amount) over {window} as change,
        row_number() over {window} as nr, sum(amount) over {window} as spent,
        sum(coalesce(gap, 1)) over (partition by user_id order by ts, event_id)::bigint as visit
        from (select *, (ts - lag(ts) over {window} > interval '30 minutes')::int as gap from events
        where kind = 'purchase') qualify nr > 1"""
    ).to_arrow_table()
    assert found.num_rows
    assert found.column_names == expected.column_names
    order = [("user_id", "ascending"), ("nr", "ascending")]
    assert found.sort_by(order).equals(expected.cast(found.schema).sort_by(order))


def test_folders_by_day(folder: Path, events: pa.Table) -> None:
    run(folder, "folders-by-day")
    found = sorted((folder / "demo/folders-by-day").glob("day=*/part-*.parquet"))
    days = pc.cast(events["ts"], pa.date32())
    first, last = (pa.scalar(one).cast(pa.date32()) for one in ("2026-01-10", "2026-01-19"))
    wanted = days.filter(pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last)))
    named = [file.parent.name.removeprefix("day=") for file in found]
    assert named == sorted(map(str, wanted.unique().to_pylist()))
    for file, day in zip(found, named, strict=True):
        times = pq.ParquetFile(file).read()["ts"]
        assert {str(one) for one in pc.cast(times, pa.date32()).to_pylist()} == {day}
        assert times.to_pylist() == sorted(times.to_pylist())
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in found) == len(wanted)


def test_newest(folder: Path, events: pa.Table) -> None:
    found = whole(run(folder, "newest"))
    newest: dict[int, dict[str, Any]] = {}
    for row in events.to_pylist():
        if row["user_id"] not in newest or row["ts"] > newest[row["user_id"]]["ts"]:
            newest[row["user_id"]] = row
    assert sorted(found.to_pylist(), key=lambda row: row["user_id"]) == [newest[user] for user in sorted(newest)]


def test_purchases_and_views(folder: Path, events: pa.Table) -> None:
    found = whole(run(folder, "purchases-and-views")).to_pylist()
    rows = events.to_pylist()
    views = [(row["user_id"], row["ts"]) for row in rows if row["kind"] == "view"]
    assert len(found) == sum(row["kind"] == "purchase" for row in rows)
    for row in found:
        before = [at for user, at in views if user == row["user_id"] and at < row["ts"]]
        assert row["ts_viewed"] == (max(before) if before else None)
    assert len({row["ts_viewed"] is None for row in found}) == 2  # with and without one


def test_compacted(folder: Path, events: pa.Table) -> None:
    files = run(folder, "compacted")
    assert len(files) == 1
    assert whole(files).sort_by("event_id").equals(events.sort_by("event_id"))
    assert run(folder, "compacted") == files  # once more, over itself


def test_top_of_each_country(folder: Path, events: pa.Table) -> None:
    found = whole(run(folder, "top-of-each-country")).to_pylist()
    amounts: dict[str | None, list[Decimal]] = {}
    for row in events.select(["kind", "country", "amount"]).to_pylist():
        if row["kind"] == "purchase" and row["amount"] is not None:
            amounts.setdefault(row["country"], []).append(row["amount"])
    assert {row["country"]: row["top"] for row in found} == {
        country: sorted(values, reverse=True)[:10] for country, values in amounts.items()
    }


def test_by_amount(folder: Path, events: pa.Table) -> None:
    files = run(folder, "by-amount")
    assert len(files) == 8
    bought = events.filter(pc.equal(events["kind"], "purchase"))
    wanted = bought.sort_by([("amount", "descending"), ("event_id", "ascending")]).select(
        ["event_id", "user_id", "amount"]
    )
    assert whole(files)["event_id"].to_pylist() == wanted["event_id"].to_pylist()


def test_shards(folder: Path, events: pa.Table) -> None:
    tables = [feather.read_table(file) for file in run(folder, "shards")]
    assert len(tables) == 16
    users = [user for table in tables for user in table["user_id"].unique().to_pylist()]
    assert len(users) == len(set(users))
    assert sum(table.num_rows for table in tables) == events.num_rows


def test_epoch(folder: Path, events: pa.Table) -> None:
    files = run(folder, "epoch")
    tables = [feather.read_table(file) for file in files]
    assert len(tables) == 16
    found = pa.concat_tables(tables)
    assert found["event_id"].to_pylist() != events["event_id"].to_pylist()
    assert found.sort_by("event_id").equals(events.select(found.column_names).sort_by("event_id"))
    before = [file.read_bytes() for file in files]
    shutil.rmtree(folder / "demo/epoch-1")
    assert [file.read_bytes() for file in run(folder, "epoch")] == before


def test_to_search_in(folder: Path, events: pa.Table) -> None:
    tables = [pq.read_table(file) for file in run(folder, "to-search-in")]
    ranges = [pc.min_max(table["user_id"]).as_py() for table in tables if table.num_rows]
    assert all(low["max"] < high["min"] for low, high in itertools.pairwise(ranges))
    for table in tables:
        assert table["user_id"].to_pylist() == sorted(table["user_id"].to_pylist())
    assert sum(table.num_rows for table in tables) == events.num_rows


def test_by_user_and_time(folder: Path, events: pa.Table) -> None:
    tables = [pq.read_table(file) for file in run(folder, "by-user-and-time")]
    assert pa.concat_tables(tables).sort_by("event_id").equals(events.sort_by("event_id"))
    for column in ("user_id", "ts"):
        spans = []
        for table in [events, *tables]:
            ends = pc.min_max(table[column].cast(pa.int64())).as_py()
            spans.append(ends["max"] - ends["min"])
        assert sum(spans[1:]) / 16 < spans[0] / 2


def test_every_recipe_is_run() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert set(JOBS) <= tested
