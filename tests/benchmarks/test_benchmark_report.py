"""Runs in, table and JSON out."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import machine, report
from benchmarks.engines import shuffle_run
from benchmarks.engines.base import WORKLOADS, Task
from benchmarks.report import Run
from benchmarks.run import parser, quantity

from shuffle_operator.api.validation import load_job
from shuffle_operator.coordinator.status import Snapshot


def run(engine: str = "shuffle", **changes: Any) -> Run:
    values: dict[str, Any] = {
        "workload": "sort",
        "engine": engine,
        "repetition": 0,
        "outcome": "ok",
        "memory_limit": 1 << 30,
        "rows": 27_000_000,
        "wall_seconds": 10.0,
        "cpu_seconds": 18.0,
        "peak_memory": 480_000_000,
        "spilled": 0,
        "spilled_reported": None,
        "files": 64,
        "output_bytes": 1,
    }
    return Run(**values | changes)


def cells(text: str, engine: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {engine} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_with_ratios_to_ours() -> None:
    text = report.tables(
        [run(), run("duckdb", wall_seconds=25.0, cpu_seconds=36.0, spilled=2_345_000_000, memory_limit=10**9)],
        "shuffle",
    )
    assert text.startswith("### sort, 27,000,000 rows")
    assert " ".join(cells(text, "shuffle")) == "shuffle 1.07 GB 10.0 18.0 480 MB 0 2.70 64 yes 1.00 1.00"
    assert " ".join(cells(text, "duckdb")) == "duckdb 1.00 GB 25.0 36.0 480 MB 2.35 GB 1.08 64 yes 2.50 2.00"


def test_columns_line_up() -> None:
    lines = report.render(["a", "long one"], [["longer", "1"], ["b", "22"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == "| longer |        1 |"


def test_repetitions_show_best_and_median_and_the_highest_memory() -> None:
    runs = [
        run(repetition=number, wall_seconds=wall, peak_memory=memory)
        for number, (wall, memory) in enumerate([(12.0, 300_000_000), (9.0, 900_000_000), (10.0, 400_000_000)])
    ]
    row = cells(report.tables(runs, "shuffle"), "shuffle")
    assert row[2] == "9.0 (10.0)"
    assert row[4] == "900 MB"
    assert row[8] == "3 of 3"


def test_a_failed_peer_has_no_figures_and_its_reason_below() -> None:
    text = report.tables([run(), run("dask", outcome="killed for memory", wall_seconds=3.0)], "shuffle")
    assert cells(text, "dask")[2:4] == ["-", "-"]
    assert cells(text, "dask")[8:] == ["no", "-", "-"]
    assert text.endswith("- dask: killed for memory")


def test_a_failed_repetition_does_not_count_into_the_times() -> None:
    text = report.tables([run(), run(repetition=1, outcome="WRONG: 3 rows", wall_seconds=0.1)], "shuffle")
    assert cells(text, "shuffle")[2] == "10.0 (10.0)"
    assert cells(text, "shuffle")[8] == "1 of 2"


def test_without_ours_there_are_no_ratios() -> None:
    assert cells(report.tables([run("polars")], "shuffle"), "polars")[9:] == ["-", "-"]


def test_both_figures_of_spilled_bytes() -> None:
    assert cells(report.tables([run(spilled_reported=5_000_000)], "shuffle"), "shuffle")[5] == "0 (says 5 MB)"


def test_workloads_have_tables_of_their_own() -> None:
    text = report.tables([run(), run(workload="repartition")], "shuffle")
    assert text.count("###") == 2


def test_scaling_in_one_sentence() -> None:
    small = [run(peak_memory=500_000_000, wall_seconds=10.0, cpu_seconds=20.0)]
    large = [run(peak_memory=520_000_000, wall_seconds=83.0, cpu_seconds=170.0, rows=8 * 27_000_000)]
    assert report.scaling(small, large) == "sort: data x8.0, peak memory x1.04, time x8.30, CPU x8.50"
    failed = [run(outcome="killed for memory")]
    assert report.scaling(small, failed) == "sort: not every run succeeded, nothing to compare"


@pytest.mark.parametrize(
    ("exit_code", "kills", "last", "problems", "expected"),
    [
        (0, 0, "whatever", [], "ok"),
        (0, 2, "", [], "ok"),
        (0, 0, "", ["3 rows", "y"], "WRONG: 3 rows; y"),
        (1, 0, "Error: bad", [], "failed (exit code 1): Error: bad"),
        (-9, 1, "", [], "killed for memory"),
        (None, 0, "paused", [], "not done in 60 s: paused"),
        (None, 3, "", [], "not done in 60 s, 3 kills for memory"),
    ],
)
def test_how_a_run_ended(exit_code: int | None, kills: int, last: str, problems: list[str], expected: str) -> None:
    assert report.outcome(exit_code, kills, 60, last, problems) == expected


def test_results_name_no_path() -> None:
    ended = report.outcome(1, 0, 60, "No such file: '/home/someone/secret place/x.parquet' (/var/lib/a)", [])
    text = json.dumps(report.document({"machine": machine.facts(2)}, [run(outcome=ended)]))
    for part in ("home", "someone", "secret", "var", "lib"):
        assert part not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("open /a/b/c.txt: no", "open .../c.txt: no"),
        ("file:///a/b", ".../b"),
        ("~/x/y and /z", ".../y and .../z"),
        ("'/a b/c'", "'.../c'"),
        ("3 MB/s, and/or, tcp://127.0.0.1:80/x", "3 MB/s, and/or, tcp://127.0.0.1:80/x"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, expected: str) -> None:
    assert machine.without_paths(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", 512 << 20), ("1Gi", 1 << 30), ("2GB", 2 * 10**9), ("1.5 G", 15 * 10**8), ("7", 7)]
)
def test_quantities(text: str, expected: int) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "1 Q", "Mi"])
def test_a_quantity_that_is_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        quantity(text)


def test_options() -> None:
    options = parser().parse_args(["--engines", "shuffle, duckdb", "--limit", "dask=1GB", "--workloads", "sort"])
    assert (options.engines, options.workloads, options.limit) == (["shuffle", "duckdb"], ["sort"], [("dask", 10**9)])


@pytest.mark.parametrize("arguments", [["--engines", "flink"], ["--limit", "shuffle=1GB"], ["--limit", "dask"]])
def test_wrong_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        ('{"phase": "Complete", "bytes_spilled": 12}', 12),
        ('a line before\n{"bytes_spilled": 0}\n', 0),
        ('{"bytes_read": 1}', None),
        ("no summary", None),
        ("{ broken", None),
    ],
)
def test_spilled_bytes_of_our_summary(stdout: str, expected: int | None) -> None:
    assert shuffle_run.spilled(stdout) == expected


def test_a_task_survives_the_command_line() -> None:
    task = Task("sort", "in put", "side", "out", "scratch", 5, 64, 10, 2)
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize("workload", WORKLOADS)
def test_our_job_file_is_a_valid_job(workload: str, tmp_path: Path) -> None:
    task = Task(workload, "in", "side", str(tmp_path / "out"), str(tmp_path / "scratch"), 5, 64, 1 << 30, 2)
    command = shuffle_run.command(task, Path(sys.executable))
    options = f"--workers 2 --memory 512Mi --scratch {task.scratch} --json"
    assert command[1:] == ["run", str(tmp_path / "job.yaml"), *shlex.split(options)]
    job = load_job(tmp_path / "job.yaml")
    assert job.spec.output.partitions == 64


def test_our_summary_has_the_figure_that_is_read() -> None:
    assert "bytes_spilled" in Snapshot.__struct_fields__


def test_the_data_of_a_scaling_run() -> None:
    assert parser().parse_args([]).scaling == []
    assert parser().parse_args(["--scaling"]).scaling == [8]
    assert parser().parse_args(["--scaling", "8,16"]).scaling == [8, 16]


@pytest.mark.parametrize("factors", ["1", "0", "-8", "8,", "2.5", "x"])
def test_factors_that_are_none(factors: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([f"--scaling={factors}"])
    assert "whole numbers above 1" in capsys.readouterr().err
