"""What is made of py-spy's samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.cores import Cut, Run, arithmetic, cuts_of, row, speed
from benchmarks.dataset import Dataset
from benchmarks.flame import held, job_file, table
from benchmarks.run import WORKLOADS

from shuffle_local.cli.local_job import local_job

RAW = """\
process 7:"python -m worker";loop (asyncio.py:10);send (http.py:3) 30
process 7:"python -m worker";compute (pool.py:1);encode (shards.py:44) 50
process 7:"python -m worker";compute (pool.py:1);encode (shards.py:46) 10
process 7:"python -m worker" 40
process 7:"python -m worker";process 8:"python -m other; with a semicolon";main (main.py:1) 10
nothing of a process 5
"""


def test_samples_are_counted_by_process_and_function() -> None:
    found = held(RAW)
    assert found.processes == {"7": 90, "8": 10}
    assert found.functions == {"encode (shards.py)": 60, "send (http.py)": 30, "main (main.py)": 10}


def test_shares_are_of_the_time_the_run_took() -> None:
    text = table("sort", held(RAW), seconds=2.0)
    assert text.splitlines()[0].startswith("sort: the interpreter was held for 45%, 5% of 2.0 s")
    assert text.splitlines()[1] == "  60.0%  encode (shards.py)"


def test_a_number_of_processors_beside_its_aim() -> None:
    runs = [Run(3.0, 12.0), Run(3.5, 11.0)]
    assert row(Cut(4, 2, 2), runs, 11.0, [0.5, 0.25]) == "| 4 | 2 x 2 | 3.0 | 11.0 | 3.67 | <= 3.6 | 50%, 25% |"
    assert row(Cut(8, 1, 8), runs, 11.0, [0.9]) == "| 8 | 1 x 8 | 3.0 | 11.0 | 3.67 | > 7.2 | 90% |"


def test_processors_are_tried_in_one_process_in_a_pods_and_in_one_each() -> None:
    assert cuts_of(1) == [Cut(1, 1, 1)]
    assert cuts_of(2) == [Cut(2, 1, 2), Cut(2, 2, 1)]
    assert cuts_of(8) == [Cut(8, 1, 8), Cut(8, 4, 2), Cut(8, 8, 1)]


def test_threads_that_need_the_lock_always_are_no_faster_together_and_those_that_never_do_are() -> None:
    assert speed(1.0, 8) == pytest.approx(1.0)
    assert speed(0.0, 8) == pytest.approx(8.0)
    assert speed(0.22, 1) == pytest.approx(1.0)
    assert speed(0.22, 2) == pytest.approx(1.908, abs=0.001)
    assert speed(0.22, 16) < 1 / 0.22
    assert [line.split(" | ")[0].strip("| ") for line in arithmetic(0.22)[2:]] == ["2", "4", "8", "16"]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_has_a_job(tmp_path: Path, workload: str) -> None:
    folders = (tmp_path / name for name in ("rows", "side", "quotes"))
    made = Dataset("rows", *folders, rows=1000, files=8, arrow_bytes=72_000, disk_bytes=36_000)
    job = local_job(job_file(tmp_path, workload, made, workers=2, memory=256 << 20), 2, 256 << 20)
    assert job.output.partitions == 64
    assert job.workers == 2
