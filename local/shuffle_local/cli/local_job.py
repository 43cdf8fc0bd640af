"""What a job file means on this machine: how many workers, how much memory, and where relative paths lead."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from shuffle_local.cli.machine import default_memory, default_workers
from shuffle_operator.api.resolve import declared_memory, declared_workers, resolve
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import load_job
from shuffle_protocol.jobs import CodeSource, Functions, Job


def local_job(file: Path, workers: int | None, memory: int | None) -> Job:
    """The job of a file, as it runs here. workers, memory (bytes each): from the command line."""
    return job_here(load_job(file), workers, memory, file.parent)


def job_here(declared: ShuffleJob, workers: int | None, memory: int | None, folder: Path | None = None) -> Job:
    """A job as it runs on this machine. workers, memory (bytes each): where they are None the job's own word counts,
    then what fits this machine. folder: of the job file. The uid is new: it names the run's staging folder. Raises
    InvalidJob."""
    count = workers or declared_workers(declared, default_workers())
    each = memory if memory is not None else declared_memory(declared, default_memory(count))
    job = resolve(declared, uid=secrets.token_hex(8), workers=count, memory=each)
    return with_local_paths(job, folder)


def with_local_paths(job: Job, folder: Path | None = None) -> Job:
    """Relative paths are meant from the current folder, as in any other program. folder: of the job file, the current
    one where there is none; modules of functions are looked for there too."""
    inputs = [msgspec.structs.replace(item, paths=[absolute(path) for path in item.paths]) for item in job.inputs]
    output = msgspec.structs.replace(job.output, path=absolute(job.output.path))
    return msgspec.structs.replace(job, inputs=inputs, output=output, functions=_local_functions(job, folder))


def _local_functions(job: Job, folder: Path | None) -> Functions:
    if not job.functions_called:
        return job.functions
    sources = [msgspec.structs.replace(item, path=absolute(item.path)) for item in job.functions.sources]
    beside = str((folder or Path()).absolute())
    sources.append(CodeSource(beside, name=f"the folder of the job file, {beside}", last=True))
    return msgspec.structs.replace(job.functions, sources=sources)


def absolute(path: str) -> str:
    if "://" in path or "::" in path:
        return path
    whole = str(Path(path).expanduser().absolute())
    return whole + "/" if path.endswith("/") else whole
