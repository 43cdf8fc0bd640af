"""The last step of a job, either way: the commit makes the output whole and says so, the abort leaves nothing of it.

Both can be run again after any crash, by another worker: every step of them is done or not done, and done again does no
harm. Readers see whole files at any time; the manifest and `_SUCCESS` come last, so who honours one of them sees a
whole output.

    commit   records of all groups -> reconcile rows -> (older output goes, staged files move in) -> manifest
             -> _SUCCESS -> staging goes
    abort    staged and written files go, then the staging folder; output that was there before the job stays
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import median_low
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from shuffle_worker.errors import InputNotFound, Internal, JobError, OutputExists
from shuffle_worker.operations.base import FileResult
from shuffle_worker.plan.arrow import schema_of
from shuffle_worker.plan.record import Plan
from shuffle_worker.protocol.messages import Job
from shuffle_worker.storage import Storage
from shuffle_worker.work import Committed
from shuffle_worker.writers.claim import begin_replacing, in_order, sweep
from shuffle_worker.writers.folders import file_schema
from shuffle_worker.writers.output import MANIFEST, SUCCESS, group_path, relative, staging
from shuffle_worker.writers.storable import storable

MANIFEST_FORMAT = "shuffle-manifest/1"

_PART = re.compile(r"(?:[^/=]+=[^/]*/)*part-\d{5,}\.[a-z0-9.]+")
_GROUP = re.compile(r"/group-(\d{5,})\.json$")
_READERS = 16

Binary = bytes
"""In a record that has a field named `bytes` its annotations mean that field by the name."""


class FileRecord(Struct, frozen=True):
    """One output file in the manifest. checksum: xxh3-64 of its bytes. smallest, largest: of the range or sort keys."""

    name: str
    rows: int
    bytes: int
    checksum: str
    smallest: list[object] | None = None
    largest: list[object] | None = None


class GroupRecord(Struct, frozen=True):
    """What was written for a group: kept in the staging folder, so that it outlives the worker that wrote it."""

    plan: str
    group: int
    rows: int
    files: list[FileRecord]


class Partitioning(Struct, frozen=True):
    """How rows were told apart: a later job that wants them so needs no shuffle. method: hash, range, sort, roundRobin;
    hash: name and version of the hash function."""

    method: str
    keys: list[str]
    count: int
    hash: str = ""


class Manifest(Struct, frozen=True):
    """`_manifest.json`. schema: the Arrow schema as an IPC message, base64; columns: the same for people. partition_by:
    the columns that the folders of the files spell out, the last ones of the schema."""

    format: str
    job: str
    uid: str
    plan: str
    partitioning: Partitioning
    columns: list[tuple[str, str]]
    schema: Binary
    rows: int
    bytes: int
    files: list[FileRecord]
    partition_by: list[str] = msgspec.field(name="partitionBy", default_factory=list)


def record_group(plan: Plan, group: int, results: list[FileResult], storage: Storage) -> None:
    files = [
        FileRecord(r.name, r.rows, r.bytes, r.checksum, *(r.keys if r.keys is not None else (None, None)))
        for r in results
    ]
    record = GroupRecord(plan.summary.fingerprint, group, sum(f.rows for f in files), files)
    storage.put(group_path(plan.job.output.path, plan.job.uid, group), msgspec.json.encode(record))


class AnyRecord(Protocol):
    """What the records of all kinds of jobs have in common."""

    @property
    def plan(self) -> str: ...


R = TypeVar("R", bound=AnyRecord)


def written_groups(storage: Storage, output: str, uid: str, fingerprint: str, kind: type[R]) -> list[R]:
    """The records of groups that were written by this plan; those of another, or half of one, do not count."""
    paths = [info.path for info in storage.listing(staging(output, uid)) if _GROUP.search(info.path)]

    def read(path: str) -> R | None:
        group = _GROUP.search(path)
        assert group is not None
        try:
            record = msgspec.json.decode(storage.read(group_path(output, uid, int(group[1]))), type=kind)
        except (msgspec.DecodeError, InputNotFound):
            return None
        return record if record.plan == fingerprint else None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
        return [record for record in pool.map(read, sorted(paths)) if record is not None]


def every_group(storage: Storage, output: str, uid: str, fingerprint: str, groups: int, kind: type[R]) -> list[R]:
    """The records of all groups, in their order. Raises InputNotFound where one is missing, Internal where one is of
    another plan."""

    def read(group: int) -> R:
        path = group_path(output, uid, group)
        record = msgspec.json.decode(storage.read(path), type=kind)
        if record.plan != fingerprint:
            raise Internal(f"{path} is of another plan")
        return record

    with ThreadPoolExecutor(_READERS, thread_name_prefix="commit") as pool:
        return list(pool.map(read, range(groups)))


def commit(plan: Plan, partitioning: Partitioning, rows: int, storage: Storage) -> Committed:
    """rows: what was read from the input; -1: not known. Raises Internal where they are not all written."""
    output, uid = plan.job.output.path.rstrip("/"), plan.job.uid
    before = committed(storage, output, uid)
    if before is None:
        files = _recorded(plan, storage)
        written = sum(f.rows for f in files)
        if rows not in (-1, written):
            raise Internal(f"{rows} rows were read but {written} written: the output was not committed")
        if plan.job.output.overwrite:
            _replace(storage, output, uid, {f.name for f in files})
        by = plan.job.output.partition_by
        whole = storable(plan.arrow_schema(), plan.job.output.format)
        schema = schema_of([*file_schema(whole, by), *(whole.field(name) for name in by)], whole.metadata)
        before = Manifest(
            format=MANIFEST_FORMAT,
            job=plan.job.name,
            uid=uid,
            plan=plan.summary.fingerprint,
            partitioning=partitioning,
            columns=[(field.name, str(field.type)) for field in schema],
            schema=schema.serialize().to_pybytes(),
            rows=written,
            bytes=sum(f.bytes for f in files),
            files=files,
            partition_by=by,
        )
        storage.put(f"{output}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(before), indent=1))
        storage.put(f"{output}/{SUCCESS}", b"")
    _remove_below(storage, staging(output, uid))
    sweep(storage, output, uid)
    sizes = [f.bytes for f in before.files]
    return Committed(
        manifest=f"{output}/{MANIFEST}",
        files=len(sizes),
        rows=before.rows,
        bytes=before.bytes,
        largest=max(sizes, default=0),
        median=median_low(sizes) if sizes else 0,
    )


def abort(job: Job, storage: Storage) -> None:
    """Files under their final names are the job's only where a plan was written: planning refuses a folder that holds
    something, so without a plan nothing here is touched."""
    undo(storage, job.output.path.rstrip("/"), job.uid, job.output.overwrite)


def undo(storage: Storage, output: str, uid: str, overwrite: bool) -> None:
    """The abort of the job that has this uid."""
    staged = [info.path for info in storage.listing(staging(output, uid))]
    if any(path.endswith("/plan") for path in staged) and not overwrite:
        storage.remove([info.path for info in storage.listing(output) if is_output(info.path, output)])
    for paths in in_order(staged):
        storage.remove(paths)
    sweep(storage, output, uid)


def is_output(path: str, output: str) -> bool:
    """Whether a file in the output folder, or in hive folders in it, is named like one that a job writes."""
    name = relative(path, output)
    return name in (MANIFEST, SUCCESS) or _PART.fullmatch(name) is not None


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


def _recorded(plan: Plan, storage: Storage) -> list[FileRecord]:
    """The files of all groups, by partition."""
    job, fingerprint = plan.job, plan.summary.fingerprint
    records = every_group(storage, job.output.path, job.uid, fingerprint, plan.layout.groups, GroupRecord)
    files = [file for record in records for file in record.files]
    if not plan.job.output.partition_by and len(files) != plan.layout.partitions:
        raise Internal(f"{len(files)} files were written where there are {plan.layout.partitions} partitions")
    return files


def _replace(storage: Storage, output: str, uid: str, names: set[str]) -> None:
    """Older output goes, the staged files take its place. From here to `_SUCCESS` the folder is in between: the older
    `_SUCCESS` goes first, so nobody takes the mixture for whole."""
    below = staging(output, uid)
    there = begin_replacing(storage, output, uid)
    storage.remove([f"{output}/{SUCCESS}", f"{output}/{MANIFEST}"])
    storage.remove([path for path in there if is_output(path, output) and relative(path, output) not in names])
    move: Callable[[str], None] = lambda name: storage.move(f"{below}/{name}", f"{output}/{name}")  # noqa: E731
    with ThreadPoolExecutor(_READERS, thread_name_prefix="commit") as pool:
        list(pool.map(move, sorted(names)))


def _remove_below(storage: Storage, folder: str) -> None:
    storage.remove([info.path for info in storage.listing(folder)])


def check_replaceable(paths: Iterable[str], output: str) -> None:
    """`onExisting: Overwrite` replaces what a job wrote and nothing else. Raises OutputExists naming the stranger."""
    for path in paths:
        below = relative(path, output)
        if below.startswith("_shuffle-") or is_output(path, output) or below.endswith((".crc", ".partial")):
            continue
        raise OutputExists(
            f"{output} holds {below}, which is not the output of a shuffle: `onExisting: Overwrite` replaces only "
            "part-* files, _manifest.json and _SUCCESS; choose another folder, or remove it"
        )
