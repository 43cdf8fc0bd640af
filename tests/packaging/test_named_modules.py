"""Docstrings and comments name modules that are there: one that moved is renamed in them, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("protocol/shuffle_protocol", "worker/shuffle_worker", "operator/shuffle_operator", "local/shuffle_local")
FILES = sorted(file for package in PACKAGES for file in (PROJECT / package).rglob("*.py"))
THERE = ["/" + file.relative_to(PROJECT).as_posix() for file in [*FILES, *(PROJECT / "tests").rglob("*.py")]]
EXAMPLES = {"a.py", "x.py", "sessions.py"}
"""Modules of a user's, in examples of what a job may name."""


def named(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w*/])((?:\w+/)*[a-z_]+\.py)\b", text)) - EXAMPLES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_a_module_names_modules_that_are_there(file: Path) -> None:
    missing = {
        name for name in named(file.read_text(encoding="utf-8")) if not any(path.endswith("/" + name) for path in THERE)
    }
    assert missing == set()


def test_a_name_that_is_not_there_is_found() -> None:
    assert named("see `trail.py` and steps/cells.py, not operations/*/plan.py, x.py or a.pyc") == {
        "trail.py",
        "steps/cells.py",
    }
