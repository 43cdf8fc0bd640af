"""What is made of py-spy's samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.cores import row
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


def test_a_number_of_slots_beside_its_aim() -> None:
    assert row(4, 3.0, 11.0, 0.5) == "| 4 | 3.0 | 3.67 | <= 3.6 | 50% |"
    assert row(8, 3.0, 11.0, 0.9) == "| 8 | 3.0 | 3.67 | > 7.2 | 90% |"


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_has_a_job(tmp_path: Path, workload: str) -> None:
    folders = (tmp_path / name for name in ("rows", "side", "quotes"))
    made = Dataset("rows", *folders, rows=1000, files=8, arrow_bytes=72_000, disk_bytes=36_000)
    job = local_job(job_file(tmp_path, workload, made, workers=2, memory=256 << 20), 2, 256 << 20)
    assert job.output.partitions == 64
    assert job.workers == 2
