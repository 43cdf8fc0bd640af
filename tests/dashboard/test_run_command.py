"""`shuffle run --dashboard --report`: a page while the job runs, a file at its end, and refusals before it begins."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.request
from pathlib import Path

import pytest

from shuffle_local.cli.optional import with_values
from shuffle_operator import read_parquet
from shuffle_operator.web.report import history_in
from shuffle_protocol.messages import Phase
from tests.jobs import data
from tests.jobs.harness import PATIENCE, Bench


@pytest.fixture
def job(bench: Bench) -> Path:
    source = bench.root / "in"
    data.write_events(source, files=2, rows=500, width=10)
    return bench.job({"sort": {"by": [{"column": "score"}]}}, source, {"partitions": 3})


def test_a_report_of_a_run(bench: Bench, job: Path) -> None:
    report = bench.root / "report.html"
    outcome = bench.run(job, "--report", str(report))
    assert outcome.code == 0, outcome.err
    history = history_in(report.read_text(encoding="utf-8"))
    assert history.progress.phase is Phase.COMPLETE
    assert history.rows.read.rows == history.rows.written.rows == 1_000
    assert [check.holds for check in history.rows.checks] == [True, True]
    assert history.skew.files == history.output.files == 3
    assert sum(worker.activity.read for worker in history.workers) >= 0
    assert set("".join(history.timeline.columns)) <= set("rcsbdwopi-RCSBDWOP")
    assert history.plan is not None
    assert sorted(path.name for path in bench.root.iterdir() if "report" in path.name) == ["report.html"]


def test_a_page_while_it_runs(bench: Bench, job: Path) -> None:
    """The page is there before the first worker, and its events end with the job."""
    program = bench.start([*bench.command(job, workers=1), "--dashboard"])
    assert program.stderr is not None
    address = ""
    for line in program.stderr:
        found = re.search(r"Dashboard: (http://127\.0\.0\.1:\d+/jobs/\w+)", line)
        if found:
            address = found.group(1)
            break
    base, _, uid = address.partition("/jobs/")
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert "text/html" in answer.headers["Content-Type"]
    with urllib.request.urlopen(f"{base}/api/jobs/{uid}/events", timeout=PATIENCE) as events:
        text = events.read().decode()
    assert "event: end" in text
    assert '"phase":"Complete"' in text
    out, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0
    assert json.loads(out)["phase"] == "Complete"


def test_a_port_that_is_taken_refuses_the_run(bench: Bench, job: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = bench.run(job, "--dashboard", str(port))
    assert outcome.code == 2
    assert re.search(rf"port\s+{port}\s+is\s+taken", outcome.err)
    assert not bench.out.exists()


@pytest.mark.parametrize("port", ["70000", "-1", "abc"])
def test_what_is_no_port(bench: Bench, job: Path, port: str) -> None:
    outcome = bench.run(job, f"--dashboard={port}")
    assert outcome.code == 2
    assert "--dashboard" in outcome.err
    assert not bench.out.exists()


def test_a_report_that_cannot_be_written_refuses_the_run(bench: Bench, job: Path) -> None:
    outcome = bench.run(job, "--report", str(bench.root / "none" / "report.html"))
    assert outcome.code == 2
    assert "there is no folder" in re.sub(r"[\s│]+", " ", outcome.err)
    assert not bench.out.exists()


def test_a_job_that_fails_has_a_report_too(bench: Bench, job: Path) -> None:
    report = bench.root / "report.html"
    job.write_text(job.read_text().replace("score", "scorn"))
    outcome = bench.run(job, "--report", str(report))
    assert outcome.code == 2
    history = history_in(report.read_text(encoding="utf-8"))
    assert history.progress.phase is Phase.FAILED
    assert "scorn" in history.progress.cause


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["run", "job.yaml", "--dashboard"], ["run", "job.yaml", "--dashboard=0"]),
        (["run", "--dashboard", "job.yaml"], ["run", "--dashboard=0", "job.yaml"]),
        (["run", "--dashboard", "8787", "job.yaml"], ["run", "--dashboard", "8787", "job.yaml"]),
        (["run", "--dashboard=8787", "job.yaml"], ["run", "--dashboard=8787", "job.yaml"]),
        (["run", "--dashboard", "--quiet", "job.yaml"], ["run", "--dashboard=0", "--quiet", "job.yaml"]),
        (["run", "--", "--dashboard"], ["run", "--", "--dashboard"]),
        (["explain", "job.yaml"], ["explain", "job.yaml"]),
    ],
)
def test_a_port_may_be_left_out(given: list[str], meant: list[str]) -> None:
    assert with_values(given) == meant


def test_a_report_that_cannot_be_written_refuses_the_run_from_python(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = read_parquet(str(bench.root / "in")).repartition("score").write_parquet(str(bench.out))
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        job.run(workers=1, progress=False, report=bench.root)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="nothing can be written in"):
        job.run(workers=1, progress=False, report=bench.root / "a.html")
    assert not bench.out.exists()


def test_a_report_from_python(bench: Bench) -> None:
    source = bench.root / "in"
    data.write_events(source, files=1, rows=100, width=10)
    job = read_parquet(str(source)).repartition("score").write_parquet(str(bench.out), report=True)
    with pytest.raises(FileNotFoundError, match="no folder for the report"):
        job.run(workers=1, progress=False, report=bench.root / "none" / "a.html")
    assert not bench.out.exists()
    result = job.run(workers=1, progress=False, report=bench.root / "a.html")
    for file in (bench.root / "a.html", bench.out / "_report.html"):
        assert history_in(file.read_text(encoding="utf-8")).rows.written.rows == 100
    assert result.to_arrow().num_rows == 100  # readers pass over the report
