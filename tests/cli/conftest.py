"""The command line, called in this process: exit code, standard output, standard error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from shuffle_local.cli.main import execute


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def shuffle(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        code = execute(arguments)
        return Outcome(code, *capfd.readouterr())

    return run
