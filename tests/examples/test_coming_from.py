"""docs/coming-from.md and docs/python.md: every job on the pages is run as it stands, and does what is said of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shuffle_operator import ShuffleJob

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/coming-from.md").read_text()
PYTHON = (PROJECT / "docs/python.md").read_text()
OTHERS = ("Dask", "Spark", "Ray")
SESSIONS = re.findall(r"```python\n(.*?)```", (PROJECT / "docs/apply.md").read_text(), re.DOTALL)[0]


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


JOBS = [text for text in snippets(PAGE) if text.startswith("# ShuffleJob\n")]


def output_of(text: str) -> str:
    return re.findall(r'write_\w+\("([^"]+)"', text)[-1]


@pytest.fixture
def folder(tmp_path: Path, demo: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page's jobs read, and the module of their function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "events").symlink_to(demo / "demo/events", target_is_directory=True)
    (tmp_path / "demo").symlink_to(demo / "demo", target_is_directory=True)
    (tmp_path / "users").mkdir()
    known = sorted(events["user_id"].unique().to_pylist())[::2]
    pq.write_table(pa.table({"id": known, "name": [f"user {one}" for one in known]}), tmp_path / "users/all.parquet")
    (tmp_path / "sessions.py").write_text(SESSIONS)
    return tmp_path


def few(folder: Path, events: pa.Table) -> pa.Table:
    """The events of some users, in place of all."""
    (folder / "events").unlink()
    (folder / "events").mkdir()
    some = events.filter(pc.less(events["user_id"], pc.quantile(events["user_id"], q=0.05)[0]))
    pq.write_table(some, folder / "events/some.parquet")
    return some


def frames(folder: Path, name: str) -> list[pd.DataFrame]:
    return [pq.read_table(file).to_pandas() for file in sorted((folder / name).glob("part-*"))]


def same_rows(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found.sort_values("event_id", ignore_index=True), wanted.sort_values("event_id", ignore_index=True)
    )


def sorted_by_time(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    assert pd.concat(found)["event_id"].tolist() == events.sort_values("ts", kind="stable")["event_id"].tolist()


def with_users(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    users = pq.read_table("users").to_pandas()
    wanted = events.merge(users, left_on="user_id", right_on="id", how="left")
    same_rows(pd.concat(found)[wanted.columns], wanted)


def seen_before(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    events = events.sort_values("ts", kind="stable")
    purchases, views = (events[events["kind"] == kind] for kind in ("purchase", "view"))
    views = views[["event_id", "user_id", "ts"]].rename(columns={"event_id": "event_id_view"})
    wanted = pd.merge_asof(purchases, views, on="ts", by="user_id", tolerance=pd.Timedelta(days=30))
    assert wanted["event_id_view"].notna().any()
    same_rows(pd.concat(found)[wanted.columns], wanted)


def totals(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    wanted = events.groupby("country", as_index=False).agg(rows=("event_id", "size"))
    [one] = found
    pd.testing.assert_frame_equal(
        one[["country", "rows"]].sort_values("country", ignore_index=True), wanted, check_dtype=False
    )


def sessions(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    assert pd.concat(found)["events"].sum() == len(events)


def last_seen(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    same_rows(pd.concat(found), events.drop_duplicates(subset=["user_id"], keep="last"))


def by_user(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    assert len(found) == 16
    users = [user for one in found for user in one["user_id"].unique()]
    assert len(users) == len(set(users))
    same_rows(pd.concat(found), events)


def by_amount(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    wanted = events.sort_values("ts", kind="stable").sort_values(
        "amount", kind="stable", ascending=False, na_position="last"
    )
    assert pd.concat(found)["event_id"].tolist() == wanted["event_id"].tolist()


def strangers(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    known = pq.read_table("users")["id"].to_pylist()
    same_rows(pd.concat(found), events[~events["user_id"].isin(known)])


def newest(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    wanted = events.sort_values("ts", kind="stable", ascending=False).groupby("user_id").head(3)
    assert pd.concat(found).groupby("user_id").size().to_dict() == wanted.groupby("user_id").size().to_dict()
    assert sorted(pd.concat(found)["ts"]) == sorted(wanted["ts"])


def spent(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    files = pd.concat(found)
    same_rows(files[events.columns], events)
    one = files[files["user_id"] == files["user_id"].iloc[0]].sort_values("ts", kind="stable")
    assert one["spent"].fillna(0).tolist() == one["amount"].fillna(0).cumsum().tolist()


def shuffled(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    assert len(found) == 8
    places = pd.concat(found)["ts"].rank().reset_index(drop=True)
    assert abs(places.corr(pd.Series(places.index))) < 0.1
    same_rows(pd.concat(found), events)


def newest_first(found: list[pd.DataFrame], events: pd.DataFrame) -> None:
    assert len(found) == 4
    assert pd.concat(found)["ts"].is_monotonic_decreasing
    same_rows(pd.concat(found), events)


CHECKS: dict[str, Callable[[list[pd.DataFrame], pd.DataFrame], None]] = {
    "by-ts/": sorted_by_time,
    "with-users/": with_users,
    "seen-before/": seen_before,
    "totals/": totals,
    "sessions/": sessions,
    "last-seen/": last_seen,
    "by-user/": by_user,
    "by-amount/": by_amount,
    "strangers/": strangers,
    "newest/": newest,
    "spent/": spent,
    "shuffled/": shuffled,
    "newest-first/": newest_first,
}
TABLES = [text for text in JOBS if "read_zarr" not in text]


@pytest.mark.parametrize("text", TABLES, ids=[f"{at}-{output_of(text)}" for at, text in enumerate(TABLES)])
def test_a_job_of_the_page_does_what_the_other_does(folder: Path, events: pa.Table, text: str) -> None:
    if "apply(" in text:  # a call for each user takes its time
        events = few(folder, events)
    exec(compile(text, "docs/coming-from.md", "exec"), {})
    CHECKS[output_of(text)](frames(folder, output_of(text)), events.to_pandas())


def test_arrays_are_rechunked(folder: Path) -> None:
    import xarray as xr

    make = [sys.executable, str(PROJECT / "examples/demo/make_weather.py"), "weather.zarr"]
    subprocess.run(make, capture_output=True, check=True)
    [text] = [text for text in JOBS if "read_zarr" in text]
    exec(compile(text, "docs/coming-from.md", "exec"), {})
    before, after = xr.open_zarr("weather.zarr"), xr.open_zarr("by-place.zarr")
    assert after.t2m.encoding["chunks"] == (720, 12, 12)
    xr.testing.assert_identical(before.load(), after.load())


def test_every_other_side_has_a_job_and_is_python() -> None:
    found = [text for text in snippets(PAGE) if text.partition("\n")[0].removeprefix("# ") in OTHERS]
    for text in found:
        ast.parse(text)
    assert len(found) - len(JOBS) == 1  # the last one leads to the one above
    assert len(found) + len(JOBS) == len(snippets(PAGE))


def test_the_first_job_of_the_page_on_python(
    folder: Path, events: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(snippets(PYTHON)[0].replace("demo/by-user/", "by-user/"), names)
    assert "repartition by the hash of user_id" in capsys.readouterr().out
    paid = events.filter(pc.greater(events["amount"], 0))
    assert len(names["frame"]) == paid.num_rows
    assert names["result"].files == 8


def test_the_job_of_the_readme(folder: Path, events: pa.Table) -> None:
    names: dict[str, Any] = {}
    [text] = snippets((PROJECT / "README.md").read_text())
    exec(text.replace("workers=4", "workers=1"), names)
    assert len(names["frame"]) == events.num_rows


def test_the_knobs_of_the_page_on_python(folder: Path) -> None:
    exec(snippets(PYTHON)[1], {})
    job = ShuffleJob.from_yaml(folder / "events-once.yaml")
    assert job.metadata.name == "events-once"
    workers, recovery = job.spec.workers, job.spec.recovery
    assert workers is not None
    assert (workers.replicas, recovery is not None and recovery.retain_shards) == (8, True)


def test_the_error_of_the_page_on_python() -> None:
    from shuffle_operator import InvalidJob, read_parquet

    [shown] = re.findall(r"```text\nInvalidJob: (.*?)\n```", PYTHON)
    with pytest.raises(InvalidJob) as caught:
        read_parquet("in").distinct().write_parquet("out", partitions=0)
    assert str(caught.value) == shown
