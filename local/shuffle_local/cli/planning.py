"""The plan for `shuffle explain`, made in a process of its own: a crash over a file is an error like others."""

from __future__ import annotations

import os
import signal
import subprocess
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

GRACE = 5.0
"""Seconds that a process that makes a plan may take to remove what it has on disk."""


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that makes a plan; what it has on disk goes with it where it can still see to that."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def explanation_of(job: Job, process: subprocess.Popen[bytes] | None = None) -> bytes:
    """What a job would do, as JSON. process: of `ahead.py`, which the caller may stop from another thread; one that was
    begun, or a new one, where it is None. Raises JobError where the job would be refused, and where the process that
    makes the plan crashes."""
    process = process or ahead.planner() or ahead.start_planner()
    with tempfile.TemporaryDirectory(prefix="shuffle-explain-") as folder:
        path = Path(folder) / trail.NAME
        try:
            out, errors = process.communicate(os.fsencode(path) + b"\n" + msgspec.json.encode(job))
        except BaseException:
            stop(process)
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
