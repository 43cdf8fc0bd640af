"""What a job file means on this machine: its own uid, and paths that do not depend on where workers run."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from shuffle_worker.protocol.messages import Job


def new_uid() -> str:
    """Of a run; names its staging folder, so two runs never share one."""
    return secrets.token_hex(8)


def with_local_paths(job: Job) -> Job:
    """Relative paths are meant from the current folder, as in any other program."""
    inputs = [msgspec.structs.replace(item, paths=[absolute(path) for path in item.paths]) for item in job.inputs]
    output = msgspec.structs.replace(job.output, path=absolute(job.output.path))
    return msgspec.structs.replace(job, inputs=inputs, output=output)


def absolute(path: str) -> str:
    if "://" in path or "::" in path:
        return path
    whole = str(Path(path).expanduser().absolute())
    return whole + "/" if path.endswith("/") else whole
