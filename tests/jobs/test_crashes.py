"""A library in C++ that aborts over one file: one failure, named by the file, whatever the number of workers.

The workers here are real, and really abort: a hook that runs in them when they start does it where it sees the file.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.jobs import data
from tests.jobs.harness import PATIENCE, PROGRAM, Bench, manifest, sums

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}

READING = """
import os
from shuffle_worker.readers import files
def wrapped(self, piece, rows, before=files.FileReader._piece):
    for each in before(self, piece, rows):
        if self._plan.files[piece.file].path.endswith("/003.parquet"):
            {crash}
        yield each
files.FileReader._piece = wrapped
"""

PLANNING = """
import os
import pyarrow.parquet as pq
def wrapped(self, group, name, before=None):
    if self.path.endswith("/003.parquet"):
        {crash}
    return known(self, group, name)
from shuffle_worker.readers.parquet_file import ParquetSource
known = ParquetSource.stored_bytes
ParquetSource.stored_bytes = wrapped
"""

WRITING = """
import os
from shuffle_worker.writers import parquet
def wrapped(*arguments, **named):
    {crash}
parquet.ParquetFile.write = wrapped
"""

ABORT = "os.abort()"


@pytest.fixture
def source(bench: Bench) -> Path:
    folder = bench.root / "in"
    data.write_events(folder, files=6, rows=2_000)
    return folder


def inject(bench: Bench, code: str, crash: str = ABORT, program: str = "shuffle_worker") -> None:
    bench.inject(code.format(crash=crash))
    hook = bench.root / "injected" / "sitecustomize.py"
    hook.write_text(hook.read_text().replace("['-m', 'shuffle_worker']", f"['-m', {program!r}]"))


@pytest.mark.parametrize("workers", [1, 2])
def test_while_a_split_is_read(bench: Bench, source: Path, workers: int) -> None:
    inject(bench, READING)
    outcome = bench.run(bench.job(HASH, source), workers=workers)
    assert outcome.code == 1, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.startswith("DataError: ")
    assert f"crashed (SIGABRT) while reading {source}/003.parquet" in last
    assert outcome.summary.workers_lost == 3
    assert not bench.out.exists()


def test_where_every_file_is_bad(bench: Bench, source: Path) -> None:
    """All workers crash at once, each over another file: that is enough without a second try of any."""
    inject(bench, READING.replace("/003.parquet", ".parquet"))
    outcome = bench.run(bench.job(HASH, source), workers=3)
    assert outcome.code == 1, outcome.err
    assert f"crashed (SIGABRT) while reading {source}/" in outcome.err.splitlines()[-1]
    assert outcome.summary.workers_lost <= 6
    assert not bench.out.exists()


def test_while_the_plan_is_made(bench: Bench, source: Path) -> None:
    """Several threads read footers, and the sentence names the file of the one that crashed."""
    inject(bench, PLANNING)
    outcome = bench.run(bench.job(HASH, source), workers=2)
    assert outcome.code == 2, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.startswith("DataError: ")
    assert f"crashed (SIGABRT) while reading the schema of {source}/003.parquet" in last
    assert "one of these" not in last
    assert not bench.out.exists()


def test_explain(bench: Bench, source: Path) -> None:
    inject(bench, PLANNING, program="shuffle_worker.worker.explaining")
    program = bench.start([*PROGRAM, "explain", str(bench.job(HASH, source))])
    out, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 2
    assert out == ""
    assert (
        f"DataError: the plan cannot be made: its process crashed (SIGABRT) while reading the schema of {source}" in err
    )
    assert "003.parquet" in err


def test_while_the_output_is_written(bench: Bench, source: Path) -> None:
    inject(bench, WRITING)
    outcome = bench.run(bench.job(HASH, source, {"partitions": 1}), workers=1)
    assert outcome.code == 1, outcome.err
    assert f"crashed (SIGABRT) while writing group 0 of {bench.out}" in outcome.err.splitlines()[-1]
    assert not bench.out.exists()


def test_a_crash_that_does_not_come_again(bench: Bench, source: Path) -> None:
    """A bit that fell over: the job goes on, and its output is the same as ever."""
    job = bench.job(HASH, source)
    bench.complete(job)
    expected = sums(bench.out)
    mark = bench.root / "crashed-once"
    once = f'if not os.path.exists({str(mark)!r}): open({str(mark)!r}, "w").close(); os.kill(os.getpid(), 11)'
    inject(bench, READING, once)
    summary = bench.complete(bench.job(HASH, source, {"onExisting": "Overwrite"}))
    assert mark.exists()
    assert summary.workers_lost == 1
    assert sums(bench.out) == expected
    assert manifest(bench.out)["rows"] == 6 * 2_000


SCRIPT = """
import os, sys, threading
from pathlib import Path
from shuffle_protocol import trail
trail.keep(Path(sys.argv[1]))
here, there = threading.Event(), threading.Event()
def other():
    with trail.at("reading /in/innocent"):
        here.set()
        there.wait()
if {threads}:
    threading.Thread(target=other, daemon=True).start()
    here.wait()
with trail.at("making the plan"), trail.at("reading /in/before"):
    pass
with trail.at("making the plan"), trail.at("reading /in/bad\\n\\tname"):
    os.kill(os.getpid(), {number})
"""


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])
@pytest.mark.parametrize("threads", [False, True])
def test_the_trail_of_a_process_that_died(tmp_path: Path, number: signal.Signals, threads: bool) -> None:
    from shuffle_protocol import trail

    path = tmp_path / "new" / "trail"
    code = textwrap.dedent(SCRIPT).format(number=int(number), threads=threads)
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True)
    assert ended.returncode == -number, ended.stderr
    assert trail.read(path) == "reading /in/bad name"


MANY_THREADS = """
import os, sys, threading
from pathlib import Path
from shuffle_protocol import trail
trail.keep(Path(sys.argv[1]), stacks=False)
begun = threading.Semaphore(0)
def deep(left):
    if left:
        return deep(left - 1)
    begun.release()
    threading.Event().wait()
for _ in range(30):
    threading.Thread(target=deep, args=(50,), daemon=True).start()
    begun.acquire()
with trail.at("making the plan"), trail.at("reading /in/003.parquet"):
    os.abort()
"""


def test_the_end_of_a_trail_is_enough_in_a_container(tmp_path: Path) -> None:
    """Kubernetes keeps the last 4,096 bytes of it; the stacks of all threads are far more."""
    from shuffle_protocol import trail

    path = tmp_path / "trail"
    ended = subprocess.run([sys.executable, "-c", MANY_THREADS, str(path)], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGABRT, ended.stderr
    assert len(ended.stderr) > 4096
    assert b"Fatal Python error: Aborted" in ended.stderr
    assert trail.said(path.read_bytes()[-4096:].decode()) == "reading /in/003.parquet"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("reading a\t7f\n", "reading a"),
        ("reading a\t7f\nreading b\t80\n", "one of these: reading a, reading b"),
        ("making the plan\t7f\nreading a\t7f\n", "reading a"),
        ("making the plan\t0\nreading a\t0\n", "one of these: making the plan, reading a"),
        ("reading a\t7f\nreading b\t80\nCurrent thread 0x000000000000007f (most recent call first):\n", "reading a"),
        (
            "reading a\t7f\nreading b\t80\nCurrent thread 0x0000000000000099 [x] (most recent",
            "one of these: reading a, reading b",
        ),
        (
            "".join(f"reading {n}\t{n}\n" for n in range(1, 6)),
            "one of these: reading 3, reading 4, reading 5, or another",
        ),
        ("the last lines of a log\n{}\n", ""),
    ],
)
def test_what_a_trail_says(text: str, expected: str) -> None:
    from shuffle_protocol import trail

    assert trail.said(text) == expected
