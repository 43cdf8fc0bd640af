"""The plan for `shuffle explain`, made in a process of its own: a crash over a file is an error like others."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import msgspec

from shuffle_local import ahead
from shuffle_protocol import trail
from shuffle_protocol.crashes import CRASHES, crash
from shuffle_protocol.errors import REASONS, DataError, Internal
from shuffle_protocol.jobs import Job
from shuffle_worker.worker.explaining import PlanningResult


def explanation_of(job: Job) -> bytes:
    """What a job would do, as JSON. Raises JobError where it would be refused, and where the process that makes the
    plan crashes."""
    process = ahead.planner() or ahead.start_planner()
    with tempfile.TemporaryDirectory(prefix="shuffle-explain-") as folder:
        path = Path(folder) / trail.NAME
        try:
            out, errors = process.communicate(os.fsencode(path) + b"\n" + msgspec.json.encode(job))
        except BaseException:
            process.kill()
            process.wait()
            raise
        said = errors.decode(errors="replace")
        if -process.returncode in CRASHES:
            how = crash(-process.returncode, trail.read(path), said.splitlines())
            raise DataError(f"the plan cannot be made: {how}")
    if process.returncode == 130:
        raise KeyboardInterrupt
    sys.stderr.write(said)  # warnings, or what a function printed
    if process.returncode:
        raise Internal(f"the plan cannot be made: its process ended with exit code {process.returncode}")
    answer = msgspec.json.decode(out, type=PlanningResult)
    if answer.reason:
        error = REASONS[answer.reason](answer.message)
        error.refusal = answer.refusal
        raise error
    return bytes(answer.explanation)
