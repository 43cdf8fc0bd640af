"""Commit and abort of a rechunk, and which output may be replaced.

    chunks        under their final names, or in staging if they replace older output
    commit        records of all groups -> reconcile elements -> (remove older output, move staged chunks) -> manifest
                  -> documents, the store's own last -> `_SUCCESS` -> remove staging
    abort         removes what was written; output from before stays

A reader finds a store by the store's own document (`zarr.json`, `.zgroup` or `.zarray`). The commit writes it after
everything else, and until then there is nothing that Zarr would open. Each step can run again after a crash.
"""

from __future__ import annotations

import re
from statistics import median_low
from typing import Any

import msgspec
from msgspec import Struct

from shuffle_protocol.errors import Internal, JobError, OutputExists
from shuffle_protocol.jobs import Job
from shuffle_worker.arrays.record import RechunkPlan
from shuffle_worker.arrays.writer import ArrayGroupRecord, ArrayRecord, merged
from shuffle_worker.output import ends
from shuffle_worker.output.claim import Other, begin_replacing, occupants
from shuffle_worker.output.groups import every_group
from shuffle_worker.output.names import MANIFEST, SUCCESS, group_path, relative, staging
from shuffle_worker.storage import Storage
from shuffle_worker.transfer.work import Committed

MANIFEST_FORMAT = "shuffle-zarr-manifest/1"

ROOTS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
"""Documents that make a folder a store. They are removed first and written last."""

_NAME = re.compile(
    r"(?:.*/)?(?:zarr\.json|\.zarray|\.zattrs|\.zgroup|\.zmetadata|c(?:[./]\d+)*|\d+(?:[./]\d+)*)|_manifest\.json|_report\.html|_SUCCESS"
)


class ArrayEntry(Struct, frozen=True):
    """One array in the manifest."""

    path: str
    document: dict[str, Any]
    dimensions: list[str]
    stored: int
    missing: int
    """Objects that are not stored because all their elements are the fill value."""
    elements: int
    digest: str
    """Digest of all stored objects' keys and bytes, in any order."""


class ArrayManifest(Struct, frozen=True):
    """`_manifest.json`: what was written."""

    format: str
    job: str
    uid: str
    plan: str
    zarr: int
    elements: int
    bytes: int
    """Bytes of all chunks as stored."""
    chunks: int
    largest: int
    median: int
    arrays: list[ArrayEntry]


def chunk_folder(job: Job) -> str:
    """The folder where chunks are written: the final one, or staging until the commit."""
    output = job.output.path.rstrip("/")
    return f"{staging(output, job.uid)}/store" if job.output.overwrite else output


def record_group(plan: RechunkPlan, record: ArrayGroupRecord, storage: Storage) -> None:
    storage.put(group_path(plan.job.output.path, plan.job.uid, record.group), msgspec.json.encode(record))


def commit(plan: RechunkPlan, elements: int, storage: Storage) -> Committed:
    """elements: how many were read from the input; -1: not known. Raises Internal if not all of them are written."""
    output, uid = plan.job.output.path.rstrip("/"), plan.job.uid
    found = committed(storage, output, uid)
    if found is None:
        records = _recorded(plan, storage)
        written = sum(record.elements for record in records)
        if elements not in (-1, written):
            raise Internal(f"{elements} elements were read but {written} written: the output was not committed")
        found = _manifest(plan, records)
        if plan.job.output.overwrite:
            _replace(storage, output, uid)
        storage.put(f"{output}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(found), indent=1))
        for name, data in plan.documents:
            storage.put(f"{output}/{name}", data)
        storage.put(f"{output}/{SUCCESS}", b"")
    ends.clear_staging(storage, output, uid)
    return Committed(
        manifest=f"{output}/{MANIFEST}",
        files=found.chunks,
        rows=found.elements,
        bytes=found.bytes,
        largest=found.largest,
        median=found.median,
    )


def abort(job: Job, storage: Storage) -> None:
    """Remove what the job wrote. Planning refuses a folder that holds something, so chunks under their final names are
    the job's only if there is a plan; without one nothing is touched."""
    undo(storage, job.output.path.rstrip("/"), job.uid, job.output.overwrite)


def undo(storage: Storage, output: str, uid: str, overwrite: bool) -> None:
    """Abort the job with this uid."""

    def written(paths: list[str]) -> list[list[str]]:
        roots = [path for path in paths if relative(path, output) in ROOTS]
        return [roots, [path for path in paths if path not in roots and is_output(relative(path, output))]]

    ends.undo(storage, output, uid, overwrite, written)


def is_output(below: str) -> bool:
    """Whether a file below the output folder has a name that a job's store may have."""
    return not below.startswith("_shuffle-") and _NAME.fullmatch(below) is not None


def committed(storage: Storage, output: str, uid: str) -> ArrayManifest | None:
    """The manifest, if this job has written `_SUCCESS` before."""
    try:
        storage.info(f"{output}/{SUCCESS}")
    except JobError:
        return None
    found = _manifest_at(storage, output)
    return found if found is not None and found.uid == uid else None


def check_output(job: Job, storage: Storage) -> list[Other]:
    """The other runs that have files there. Raises OutputExists if the output holds anything that must not be replaced,
    or if another run writes there."""
    output = job.output.path.rstrip("/")
    paths, others = occupants(job, storage)
    there = [relative(path, output) for path in paths]
    if any(one.wrote_here(arrays=True) for one in others):
        there = [name for name in there if not is_output(name)]
    passing = [name for name in there if name.startswith("_shuffle-") or name.rsplit("/", 1)[-1].endswith(".partial")]
    kept = [name for name in there if name not in set(passing)]
    if not kept:
        return others
    planned = [name for name in passing if name.endswith("/plan")]
    if job.output.overwrite:
        stranger = next((name for name in kept if not is_output(name)), None)
        if stranger is None and not planned and _manifest_at(storage, output) is None:
            stranger = kept[0]
        if stranger is not None:
            raise OutputExists(
                f"{output} holds {stranger}, which is not the output of a rechunk: `onExisting: Overwrite` replaces "
                "only a store that a job wrote; choose another folder, or remove it"
            )
        return others
    if f"_shuffle-{job.uid}/plan" in planned or committed(storage, output, job.uid) is not None:
        return others  # this job wrote it: it is planned once more, and writes the same chunks again
    raise OutputExists(
        f"output.path: {output} holds {len(kept):,} file{'s' if len(kept) > 1 else ''} already ({kept[0]}, ...); "
        "choose another folder, or set output.onExisting: Overwrite"
    )


def _manifest_at(storage: Storage, output: str) -> ArrayManifest | None:
    try:
        found = msgspec.json.decode(storage.read(f"{output}/{MANIFEST}"), type=ArrayManifest)
    except (msgspec.DecodeError, JobError):
        return None
    return found if found.format == MANIFEST_FORMAT else None


def _manifest(plan: RechunkPlan, records: list[ArrayGroupRecord]) -> ArrayManifest:
    of_array = {one.array: one for one in merged([one for record in records for one in record.arrays])}
    entries: list[ArrayEntry] = []
    for number, array in enumerate(plan.arrays):
        one = of_array.get(number, ArrayRecord(number, 0, 0, 0, 0))
        document = msgspec.json.decode(array.target)
        entries.append(
            ArrayEntry(array.path, document, array.dims, one.stored, one.missing, one.elements, f"{one.digest:016x}")
        )
    sizes = [size for record in records for size in record.sizes]
    return ArrayManifest(
        format=MANIFEST_FORMAT,
        job=plan.job.name,
        uid=plan.job.uid,
        plan=plan.summary.fingerprint,
        zarr=plan.zarr_format,
        elements=sum(record.elements for record in records),
        bytes=sum(sizes),
        chunks=len(sizes),
        largest=max(sizes, default=0),
        median=median_low(sizes) if sizes else 0,
        arrays=entries,
    )


def _recorded(plan: RechunkPlan, storage: Storage) -> list[ArrayGroupRecord]:
    job, fingerprint = plan.job, plan.summary.fingerprint
    return every_group(storage, job.output.path, job.uid, fingerprint, len(plan.groups) - 1, ArrayGroupRecord)


def _replace(storage: Storage, output: str, uid: str) -> None:
    """Remove older output and move the staged chunks to its place.

    First goes what makes the folder a store, so nobody takes the mixture for one. The older manifest stays until the
    new one replaces it, because it says that all of this belongs to a job."""
    below, cleared = f"{staging(output, uid)}/store", f"{staging(output, uid)}/cleared"
    there = begin_replacing(storage, output, uid)
    storage.remove([f"{output}/{name}" for name in (SUCCESS, *ROOTS)])
    if not any(info.path.endswith("/cleared") for info in storage.listing(staging(output, uid))):
        storage.remove([p for p in there if is_output(name := relative(p, output)) and name != MANIFEST])
        storage.put(cleared, b"")  # from here on everything in the folder is new
    ends.move_in(storage, below, output, [relative(info.path, below) for info in storage.listing(below)])
