"""Standard streams that are closed, full or of a narrow encoding: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.jobs import JOB

PROGRAM = f"{sys.executable} -c 'from shuffle_local.cli.main import main; main()'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB.replace("path: out", "path: out, onExisting: Overwrite"))
    (tmp_path / "in.csv").write_text("é,b\n1,2\n")
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line.replace("shuffle", PROGRAM, 1)],
        cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}, errors="replace",
    )  # fmt: skip


@pytest.mark.parametrize(
    "command", ["crd", "validate --json job.yaml", "explain job.yaml", "explain --json job.yaml", "-h"]
)
def test_a_full_disk_behind_standard_output(folder: Path, command: str) -> None:
    outcome = shell(folder, f"shuffle {command} > /dev/full")
    assert (outcome.returncode, outcome.stderr) == (
        1,
        "Standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("shuffle validate job.yaml >&-", 0),
        ("shuffle validate job.yaml 2>&-", 0),
        ("shuffle validate missing.yaml 2>&-", 2),
        ("shuffle validate missing.yaml 2>/dev/full", 2),
        ("shuffle validate - <&-", 2),
        ("shuffle explain job.yaml >&- 2>&- <&-", 0),
        ("shuffle run -w 1 -m 300Mi --json job.yaml >&- 2>&-", 0),
    ],
)
def test_a_closed_stream(folder: Path, line: str, code: int) -> None:
    outcome = shell(folder, line)
    assert outcome.returncode == code, outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_log_that_cannot_be_written_does_not_fail_the_job(folder: Path) -> None:
    outcome = shell(folder, "shuffle run -w 1 -m 300Mi -q --log /dev/full job.yaml")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == "Warning: /dev/full could not be written: No space left on device\n"


@pytest.mark.parametrize("command", ["explain job.yaml", "validate é.yaml", "init - --by a"])
def test_a_narrow_encoding(folder: Path, command: str) -> None:
    outcome = shell(folder, f"shuffle {command}", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "Traceback" not in outcome.stderr
    assert outcome.returncode == (2 if "é" in command else 0), outcome.stderr
