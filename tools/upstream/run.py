"""Runs the tests against what is not released yet, in an environment of its own: `make upstream`.

Pre-releases of the packages in `UPSTREAM` of tools/requirements.py, and the newest release of all others, whatever is
locked. With UPSTREAM_INDEX set, that index is looked at too, for nightly wheels. What fails is run again by itself:
what fails twice is a find. build/upstream/ has what is left of it: versions.txt, junit.xml, install.txt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-upstream"
RESULTS = ROOT / "build" / "upstream"
PYTHON = ENVIRONMENT / "bin" / "python"


def main(selection: list[str]) -> int:
    """The exit status of the tests: of the second run of those that failed, where there was one."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    if not install():
        return 1
    versions = subprocess.run(
        [*pip(), "freeze", "--exclude=shuffle-operator"], check=True, capture_output=True, text=True
    )
    (RESULTS / "versions.txt").write_text(versions.stdout, encoding="utf-8")
    first = tests("--numprocesses=auto", "--dist=worksteal", *selection)
    return tests("--last-failed", "--last-failed-no-failures=none", *selection) if first == 1 else first


def install() -> bool:
    """Whether there are versions that go together. What pip says is kept either way."""
    if not PYTHON.exists():
        newest = subprocess.run([ROOT / "tools" / "python.sh", "--newest"], check=True, capture_output=True, text=True)
        subprocess.run([newest.stdout.strip(), "-m", "venv", str(ENVIRONMENT)], check=True)
    listed = [sys.executable, str(ROOT / "tools" / "requirements.py"), "--upstream"]
    wanted = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    index = os.environ.get("UPSTREAM_INDEX")
    extra = [f"--extra-index-url={index}"] if index else []
    for step in (["--upgrade", *extra, *wanted], ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]):
        done = subprocess.run([*pip(), "install", "--quiet", *step], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            (RESULTS / "install.txt").write_text(done.stderr, encoding="utf-8")
            print(done.stderr, file=sys.stderr)  # noqa: T201
            return False
    return True


def pip() -> list[str]:
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]


def tests(*arguments: str) -> int:
    command = [str(PYTHON), "-m", "pytest", f"--junitxml={RESULTS / 'junit.xml'}", *arguments]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
