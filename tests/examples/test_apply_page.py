"""docs/apply.md: its example is run as it stands, and the errors that it shows are those that come."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shuffle_local.cli.main import execute

PAGE = (Path(__file__).parents[2] / "docs/apply.md").read_text()
JOB, SESSIONS = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[0] for kind in ("yaml", "python"))
RUN = ["run", "job.yaml", "--quiet", "--workers", "2", "--memory", "512Mi"]


@pytest.fixture
def folder(tmp_path: Path, events: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events").mkdir()
    pq.write_table(events, tmp_path / "events/all.parquet")
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "sessions.py").write_text(SESSIONS)
    return tmp_path


def test_the_example_gives_every_session_of_every_user(folder: Path, events: pa.Table) -> None:
    assert execute(RUN) == 0
    found = pa.concat_tables(pq.read_table(file) for file in folder.glob("sessions/part-*")).to_pandas()
    rows = events.select(["user_id", "ts"]).to_pandas().sort_values(["user_id", "ts"], ignore_index=True)
    begins = rows["user_id"].ne(rows["user_id"].shift()) | (rows["ts"].diff() > pd.Timedelta(minutes=30))
    expected = rows[begins].reset_index(drop=True).rename(columns={"ts": "start"})
    expected["events"] = begins.cumsum().value_counts(sort=False).to_numpy()
    found = found.sort_values(["user_id", "start"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_explain_says_what_comes_out_and_how_long_the_calls_take(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["explain", "job.yaml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "columns: user_id, start, events" in said
    assert "its columns were found by calling it for 8 groups of a sample" in said
    assert "of processor time" in said


def shown(first: str) -> str:
    """The error on the page whose text begins so, in one line."""
    blocks = [" ".join(block.split()) for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
    return next(block for block in blocks if first in block)


def pattern(text: str) -> str:
    """The error of any group of any partition, and of any value."""
    text = re.sub(r"user_id = \S+ [\d,]+ rows?, partition \d+", "GROUP", text)
    text = re.escape(text.replace("Float value 1.500000", "VALUE").replace("1 frame in", "FRAMES in"))
    text = text.replace("GROUP", r"user_id = \d+, [\d,]+ rows?, partition \d+")
    return text.replace("VALUE", r"Float value \d+\.5\d*").replace("FRAMES", r"\d+ frames?")


@pytest.mark.parametrize("first", ["raised KeyError", "returned another table"])
def test_the_errors_are_as_shown(folder: Path, capsys: pytest.CaptureFixture[str], first: str) -> None:
    job = JOB
    if first == "raised KeyError":
        job = job.replace("[user_id, ts, kind]", "[user_id, kind]")
    else:
        (folder / "sessions.py").write_text(SESSIONS.replace("ts.size()", "ts.size() + 0.5"))
    columns = [("user_id", "int64"), ("start", '"timestamp[us, tz=UTC]"'), ("events", "int64")]
    schema = ", ".join(f"{{name: {name}, type: {kind}}}" for name, kind in columns)
    (folder / "job.yaml").write_text(job.replace("  inputs:", f"      schema: [{schema}]\n  inputs:"))
    assert execute(RUN) == 1
    assert re.search(pattern(shown(first)), " ".join(capsys.readouterr().err.split()))
