"""Which release this is: its version, the commit that it was made of, and the protocol that it speaks."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

from shuffle_protocol.messages import VERSION

DISTRIBUTION = "shuffle-operator"
UNKNOWN = "unknown"
SHOWN = 12
"""Digits of a commit that people are shown."""


@cache
def version() -> str:
    """Of the installed distribution, as `0.2.0`; between releases the next one's with `.dev` and the number of commits
    since the last."""
    try:
        return version_of(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN  # the packages are on the path, but nothing was installed


def commit() -> str:
    """What the distribution was made of: the file COMMIT beside this module, which building it writes,
    or, in a checkout, what git says now. `unknown` where neither is there."""
    folder = Path(__file__).resolve().parent
    try:
        return _short((folder / "COMMIT").read_text(encoding="utf-8"))
    except OSError:
        return _short(_of_checkout(folder)) or UNKNOWN


def described() -> str:
    """`0.2.0 (commit 0123456789ab, protocol 3)`."""
    return f"{version()} (commit {commit()}, protocol {VERSION})"


def _short(text: str) -> str:
    node, dash, dirty = text.strip().partition("-")
    return node[:SHOWN] + dash + dirty


def _of_checkout(folder: Path) -> str:
    """A repository that merely has the installation somewhere below it is not asked."""
    if not (folder.parents[1] / "pyproject.toml").exists() or not (folder.parents[1] / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
