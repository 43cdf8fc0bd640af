"""Output that is there already: of this very job, of an earlier one, or of somebody else."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from shuffle_protocol.errors import JobError, OutputExists
from shuffle_worker.output.manifest import Manifest
from shuffle_worker.output.names import MANIFEST, REPORT, SUCCESS, relative
from shuffle_worker.storage import Storage

_PART = re.compile(r"(?:[^/=]+=[^/]*/)*part-\d{5,}\.[a-z0-9.]+")


def is_output(path: str, output: str) -> bool:
    """Whether a file in the output folder, or in hive folders in it, is named like one that a job writes."""
    name = relative(path, output)
    return name in (MANIFEST, SUCCESS, REPORT) or _PART.fullmatch(name) is not None


def committed(storage: Storage, output: str, uid: str) -> Manifest | None:
    """The manifest, if this very job got as far as `_SUCCESS` before."""
    names = {info.path.rsplit("/", 1)[-1] for info in storage.listing(output)}
    if SUCCESS not in names or MANIFEST not in names:
        return None
    try:
        found = msgspec.json.decode(storage.read(f"{output}/{MANIFEST}"), type=Manifest)
    except (msgspec.DecodeError, JobError):
        return None
    return found if found.uid == uid else None


def check_replaceable(paths: Iterable[str], output: str) -> None:
    """`onExisting: Overwrite` replaces what a job wrote and nothing else. Raises OutputExists naming the stranger."""
    for path in paths:
        below = relative(path, output)
        if below.startswith("_shuffle-") or is_output(path, output) or below.endswith((".crc", ".partial")):
            continue
        raise OutputExists(
            f"{output} holds {below}, which is not the output of a shuffle: `onExisting: Overwrite` replaces only "
            "part-* files, _manifest.json, _report.html and _SUCCESS; choose another folder, or remove it"
        )
