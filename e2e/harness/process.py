"""Programs that are run and waited for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ProgramFailed(AssertionError):
    """A program ended with an error; the message has what it said."""


def run(
    command: Sequence[str | Path],
    *,
    stdin: str | None = None,
    timeout: float = 120,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Its standard output. Raises ProgramFailed, unless `check` is off: then standard error comes after the output."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment} if environment else None,
    )
    if done.returncode == 0:
        return done.stdout if check else done.stdout + done.stderr
    if check:
        raise ProgramFailed(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr
