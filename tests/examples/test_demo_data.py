"""The demo's events are the same everywhere, look like life, and are as many bytes as was asked."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

FILES, ROWS = 3, 3000  # as in conftest


def test_the_same_file_is_made_every_time(make_events: ModuleType, demo: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_events, "ROWS", ROWS)
        make_events.make(tmp_path, 1, FILES)
    name = "events-00001.parquet"
    assert (tmp_path / name).read_bytes() == (demo / "demo" / "events" / name).read_bytes()


def test_events_look_like_life(make_events: ModuleType, events: pa.Table) -> None:
    events.validate(full=True)
    assert events.num_rows == ROWS * FILES
    assert events.schema.remove_metadata() == make_events.SCHEMA
    assert len(events["event_id"].unique()) == events.num_rows
    counts = sorted((entry["counts"] for entry in events["user_id"].value_counts().to_pylist()), reverse=True)
    assert counts[0] > 10 * counts[len(counts) // 2]  # skew
    assert events["country"].null_count > 0
    paid = pc.is_in(events["kind"], pa.array(["purchase", "refund"]))
    assert pc.is_valid(events["amount"]).equals(paid)
    assert events["ts"].to_pylist() == sorted(events["ts"].to_pylist())


@pytest.mark.parametrize(("text", "size"), [("1G", 10**9), ("100M", 10**8), ("2.5GB", 25 * 10**8), ("5000", 5000)])
def test_sizes(make_events: ModuleType, text: str, size: int) -> None:
    assert make_events.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1G", "0"])
def test_what_is_no_size_is_refused(make_events: ModuleType, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        make_events.parse_size(text)


def test_the_size_asked_for_is_about_the_size_made(make_events: ModuleType, tmp_path: Path) -> None:
    size = make_events.make(tmp_path, 0, 1)
    assert size == pytest.approx(make_events.ROWS * make_events.BYTES_A_ROW, rel=0.05)
    assert pq.ParquetFile(tmp_path / "events-00000.parquet").metadata.num_rows == make_events.ROWS


def test_data_that_is_there_is_not_made_again(make_events: ModuleType, tmp_path: Path) -> None:
    def said(size: str) -> str:
        command = [sys.executable, str(make_events.__file__), "--size", size, "--processes", "1", "events"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr

    assert said("5M").startswith("Made 200,000 events in 1 files")
    first = {file: file.stat().st_mtime_ns for file in (tmp_path / "events").iterdir()}
    assert said("5M") == "events is there already: 200,000 events in 1 files\n"
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "events").iterdir()} == first


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(
    make_events: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_events", "--size", "900T", str(tmp_path / "events")])
    assert make_events.main() == 1
    assert "make demo SIZE=100M" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
