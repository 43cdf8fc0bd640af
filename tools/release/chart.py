"""The chart as a package, with the version of the wheel that it goes with.

SemVer, which Helm wants, writes versions between releases otherwise than Python does: 0.2.0rc1 is 0.2.0-rc.1 there. The
image's tag, `appVersion`, is the version as Python writes it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:(a|b|rc)(\d+))?(?:\.dev(\d+))?")
_STAGES = {"a": "alpha", "b": "beta", "rc": "rc"}


def semantic(version: str) -> str:
    """A version of Python's as SemVer has it. Raises ValueError for one that SemVer has no form for (post, epoch)."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(
            f"{version} cannot be written in SemVer; expected X.Y.Z, X.Y.ZrcN or X.Y.Z.devN: tag v0.2.0, say"
        )
    major, minor, patch, stage, number, dev = found.groups()
    before = [*([_STAGES[stage], number] if stage else []), *(["dev", dev] if dev else [])]
    return f"{major}.{minor}.{patch or 0}" + (f"-{'.'.join(before)}" if before else "")


def package(helm: Path, chart: Path, version: str, out: Path) -> Path:
    """The package that `helm package` makes of the chart."""
    number = semantic(version)
    command = [str(helm), "package", str(chart), f"--version={number}", f"--app-version={version}"]
    subprocess.run([*command, f"--destination={out}"], check=True, capture_output=True, text=True)
    return out / f"{chart.name}-{number}.tgz"
