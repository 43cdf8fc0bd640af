"""`make cluster`: the local cluster, and what a person does with it.

Progress goes to standard error, the guide to standard output. Where it fails, the last line of standard error is the
reason.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tools import helm as programs

from e2e.harness import cluster as clusters
from e2e.harness.guide import BUCKET, fill, guide
from e2e.harness.process import ProgramFailed, run
from e2e.harness.progress import Step
from e2e.harness.s3 import Bucket


def main() -> int:
    """The exit code."""
    try:
        _refuse_early()
        told = clusters.progress(Step(f"put events into the bucket {BUCKET}", 5))
        made = clusters.make(told)
        told.next()
        fill(Bucket(BUCKET, made.storage), programs.cache())
    except (ProgramFailed, subprocess.SubprocessError) as reason:
        print(f"\nThe cluster could not be made; what was said:\n{str(reason).strip()}", file=sys.stderr)
        return 1
    print(f"\n{guide(made, os.environ)}")
    return 0


def _refuse_early() -> None:
    """Before minutes are spent on a machine that cannot carry it."""
    if clusters.admin().exists():
        return  # it is up already, and has the memory that is asked for
    why = run([clusters.SCRIPTS / "possible.sh"], check=False).strip()
    if why:
        raise ProgramFailed(f"This machine cannot carry the cluster: {why}")


if __name__ == "__main__":
    sys.exit(main())
