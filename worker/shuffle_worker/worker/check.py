"""`python -m shuffle_worker.worker.check`: whether a job's input can be read and its output written, from here and with
the credentials that are here. `shuffle doctor FILE` runs it in a pod like those of the job's workers.

The job comes as JSON in SHUFFLE_CHECK. Each finding is a line of JSON on standard output; the exit code is 0 whatever
is found. Nothing is left in the output but what was there.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator

import msgspec

from shuffle_protocol.errors import JobError
from shuffle_protocol.findings import VARIABLE, Finding
from shuffle_protocol.jobs import Input, Job, Output
from shuffle_protocol.units import counted, readable
from shuffle_worker.storage import storage_for

PROBE = b"written by shuffle doctor; may be removed\n"


def check(job: Job) -> Iterator[Finding]:
    for item in job.inputs:
        for path in item.paths:
            yield _read(item, path)
    yield _write(job.output)


def _read(item: Input, path: str) -> Finding:
    what = f"read {path}"
    try:
        storage = storage_for(path, item.storage)
        files = storage.find(path)
        with storage.open(files[0].path) as stream:
            stream.read(8)
    except JobError as error:
        return Finding(what, False, f"{error.reason}: {error.message}")
    count = f"{len(files):,} file{'s' if len(files) != 1 else ''}"
    return Finding(what, True, f"{count}, {readable(sum(file.size for file in files))}")


def _write(output: Output) -> Finding:
    """A file with a name of its own is written, read and removed."""
    what = f"write {output.path}"
    path = f"{output.path.rstrip('/')}/_shuffle-doctor-{secrets.token_hex(4)}"
    try:
        storage = storage_for(path, output.storage)
        there = len(storage.listing(output.path))
        storage.put(path, PROBE)
        try:
            same = storage.read(path) == PROBE
        finally:
            storage.remove([path])
    except JobError as error:
        return Finding(what, False, f"{error.reason}: {error.message}")
    if not same:
        return Finding(what, False, "what was written is not what was read back")
    return Finding(what, True, f"it holds {counted(there, 'file')} already" if there else "it is empty")


def main() -> None:
    job = msgspec.json.decode(os.environ[VARIABLE], type=Job)
    for finding in check(job):
        sys.stdout.write(msgspec.json.encode(finding).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
