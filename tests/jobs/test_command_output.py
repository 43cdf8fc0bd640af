"""What `shuffle run` prints, and where: one JSON object on standard output, everything for people on standard error."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.jobs import data
from tests.jobs.harness import PATIENCE, Bench, manifest, parts

from shuffle_operator.coordinator.status import Snapshot

SORT: dict[str, Any] = {"sort": {"by": [{"column": "score"}]}}


@pytest.fixture
def job(bench: Bench) -> Path:
    source = bench.root / "in"
    data.write_events(source, files=2, rows=500, width=10)
    return bench.job(SORT, source, {"partitions": 3})


def test_the_summary_is_one_json_object(bench: Bench, job: Path) -> None:
    outcome = bench.run(job)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("\n") == 1
    found = json.loads(outcome.out)
    assert set(found) == set(Snapshot.__struct_fields__)
    assert found["phase"] == "Complete"
    assert found["rows_read"] == found["rows_received"] == found["rows_written"] == 1_000
    assert found["files"] == 3
    assert found["bytes_written"] == sum(part.stat().st_size for part in parts(bench.out))
    assert found["workers_lost"] == found["failures"] == found["splits_redone"] == 0
    assert "Complete test" in outcome.err
    assert " %  " in outcome.err  # progress; which phases a short job is seen in is chance


def test_the_summary_for_people(bench: Bench, job: Path) -> None:
    command = [part for part in bench.command(job, workers=1) if part != "--json"]
    program = bench.start(command)
    out, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, err
    assert out == ""
    for word in ("Rows", "1,000", "Peak memory", "Spilled", "nothing", "Skew", str(bench.out)):
        assert word in err, err


def test_quiet(bench: Bench, job: Path) -> None:
    command = [part for part in bench.command(job, "--quiet", workers=1) if part != "--json"]
    program = bench.start(command)
    assert program.communicate(timeout=PATIENCE) == ("", "")
    assert program.returncode == 0


def test_logs_are_json_lines(bench: Bench, job: Path) -> None:
    log = bench.root / "log"
    assert bench.run(job, "--log", str(log)).code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["worker"] for line in lines} == {0, 1}
    assert len({line["job"] for line in lines}) == 1
    leases = [line["lease"].partition(" ")[0] for line in lines if "lease" in line]
    assert (leases.count("plan"), leases.count("transfer"), leases.count("write"), leases.count("commit")) == (
        1,
        1,
        3,
        1,
    )
    assert all(line["epoch"] for line in lines)


def test_a_job_from_standard_input(bench: Bench, job: Path) -> None:
    text = job.read_text()
    command = bench.command(Path("-"), workers=1)
    program = subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=bench.root, timeout=PATIENCE, check=False
    )
    assert program.returncode == 0, program.stderr
    assert json.loads(program.stdout)["rows_written"] == 1_000


def test_what_is_written(bench: Bench, job: Path) -> None:
    """Files, manifest and `_SUCCESS`, and nothing else; the manifest is true."""
    bench.complete(job, workers=1)
    names = sorted(path.name for path in bench.out.iterdir())
    assert names == ["_SUCCESS", "_manifest.json", *(f"part-{n:05}.parquet" for n in range(3))]
    found = manifest(bench.out)
    assert found["partitioning"] == {"method": "sort", "keys": ["score"], "count": 3, "hash": ""}
    assert found["rows"] == 1_000
    for record, part in zip(found["files"], parts(bench.out), strict=True):
        rows = pq.ParquetFile(part).read()
        assert (record["name"], record["rows"], record["bytes"]) == (part.name, rows.num_rows, part.stat().st_size)
        assert record["checksum"]


def test_relative_paths_are_from_the_current_folder(bench: Bench, job: Path) -> None:
    job.write_text(job.read_text().replace(f"{bench.root}/", ""))
    assert bench.complete(job, workers=1).output == str(bench.out)
    assert len(parts(bench.out)) == 3
