"""A bench for each test of whole jobs. After every test nothing may be left behind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.jobs.harness import MARK, Bench, half_written, processes, wait_until


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Afterwards: no process of the test's, nothing in scratch or among the system's temporary files, and nothing half
    written."""
    mark = secrets.token_hex(8)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(temporary))
    bench = Bench(tmp_path, mark)
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)
    yield bench
    try:
        wait_until(lambda: not processes(mark), "all processes to end", within=20)
    finally:
        left = processes(mark)
        for pid in left:
            os.kill(pid, 9)
    assert not left
    assert list(temporary.iterdir()) == []
    assert not bench.scratch.exists() or list(bench.scratch.iterdir()) == []
    assert half_written(tmp_path) == []
