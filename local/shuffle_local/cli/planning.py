"""The plan for `shuffle explain`, made in a process of its own: a crash over a file is an error like others."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from shuffle_protocol import trail
from shuffle_protocol.crashes import CRASHES, crash
from shuffle_protocol.errors import REASONS, DataError, Internal
from shuffle_protocol.jobs import Job
from shuffle_worker.worker.explaining import PlanningResult


def explanation_of(job: Job) -> bytes:
    """What a job would do, as JSON. Raises JobError where it would be refused, and where the process that makes the
    plan crashes."""
    with tempfile.TemporaryDirectory(prefix="shuffle-explain-") as folder:
        path = Path(folder) / trail.NAME
        made = subprocess.run(
            [sys.executable, "-m", "shuffle_worker.worker.explaining", str(path)],
            input=msgspec.json.encode(job),
            capture_output=True,
            check=False,
        )
        said = made.stderr.decode(errors="replace")
        if -made.returncode in CRASHES:
            raise DataError(f"the plan cannot be made: {crash(-made.returncode, trail.read(path), said.splitlines())}")
    if made.returncode == 130:
        raise KeyboardInterrupt
    sys.stderr.write(said)  # warnings, or what a function printed
    if made.returncode:
        raise Internal(f"the plan cannot be made: its process ended with exit code {made.returncode}")
    answer = msgspec.json.decode(made.stdout, type=PlanningResult)
    if answer.reason:
        error = REASONS[answer.reason](answer.message)
        error.refusal = answer.refusal
        raise error
    return bytes(answer.explanation)
