"""Clean environments: a wheel or an sdist is installed into one and does a job there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROWS = 1000
JOB = """\
apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: smoke}
spec:
  operation:
    sort: {by: [{column: number, order: Descending}]}
  inputs:
    - path: in.csv
  output:
    path: out/
"""


class NotWorking(Exception):
    """What was installed does not do what it should."""


def environment(folder: Path, *steps: list[str]) -> Path:
    """A new environment, without pip, in which `pip install` was run with the arguments of each step; its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False, symlinks=True)
    for step in steps:
        command = [sys.executable, "-m", "pip", "--python", str(folder), "--disable-pip-version-check", "--quiet"]
        subprocess.run([*command, "install", *step], check=True)
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    return next((python.parent.parent / "lib").glob("python3*/site-packages"))


def try_out(python: Path, version: str, commit: str) -> str:
    """What the installed program says of itself, once it has sorted a small file. Raises NotWorking."""
    program = str(python.parent / "shuffle")
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with tempfile.TemporaryDirectory() as work:

        def call(*arguments: str) -> str:
            done = subprocess.run([program, *arguments], cwd=work, env=outside, capture_output=True, text=True)
            if done.returncode:
                raise NotWorking(f"shuffle {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
            return done.stdout.strip()

        said = call("--version")
        if version not in said or commit[:12] not in said:
            raise NotWorking(f"shuffle --version says {said!r}, not version {version} of commit {commit[:12]}")
        Path(work, "in.csv").write_text("number\n" + "".join(f"{n}\n" for n in range(ROWS)), encoding="utf-8")
        Path(work, "job.yaml").write_text(JOB, encoding="utf-8")
        call("run", "job.yaml", "--workers", "1", "--memory", "256Mi")
        manifest = json.loads(Path(work, "out", "_manifest.json").read_text(encoding="utf-8"))
        rows = sum(file["rows"] for file in manifest["files"])
        if rows != ROWS or not Path(work, "out", "_SUCCESS").exists():
            raise NotWorking(f"shuffle run wrote {rows} of {ROWS} rows")
    return said
