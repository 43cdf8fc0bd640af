"""The last step of a job, either way: the commit makes the output whole and says so, the abort leaves nothing of it.

Both can be run again after any crash, by another worker: every step of them is done or not done, and done again does no
harm. Readers see whole files at any time; the manifest and `_SUCCESS` come last, so who honours one of them sees a
whole output.

    commit   records of all groups -> reconcile rows -> (older output goes, staged files move in) -> manifest
             -> _SUCCESS -> staging goes
    abort    staged and written files go, then the staging folder; output that was there before the job stays
"""

from __future__ import annotations

from statistics import median_low

import msgspec

from shuffle_protocol.errors import Internal
from shuffle_protocol.jobs import Job
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.output import ends
from shuffle_worker.output.claim import begin_replacing
from shuffle_worker.output.existing import committed, is_output
from shuffle_worker.output.folders import file_schema
from shuffle_worker.output.groups import every_group
from shuffle_worker.output.manifest import MANIFEST_FORMAT, FileRecord, FileResult, GroupRecord, Manifest, Partitioning
from shuffle_worker.output.names import MANIFEST, SUCCESS, group_path, relative, staging
from shuffle_worker.output.storable import storable
from shuffle_worker.plan.record import Plan
from shuffle_worker.storage import Storage
from shuffle_worker.transfer.work import Committed


def record_group(plan: Plan, group: int, partitions: list[FileResult], received: int, storage: Storage) -> None:
    """received: the rows that the group was made of."""
    results = [file for partition in partitions for file in partition.files]
    left_out = sum(partition.left_out for partition in partitions)
    files = [
        FileRecord(r.name, r.rows, r.bytes, r.checksum, *(r.keys if r.keys is not None else (None, None)))
        for r in results
    ]
    record = GroupRecord(plan.summary.fingerprint, group, sum(f.rows for f in files), files, received, left_out)
    storage.put(group_path(plan.job.output.path, plan.job.uid, group), msgspec.json.encode(record))


def commit(plan: Plan, partitioning: Partitioning, rows: int, storage: Storage) -> Committed:
    """rows: what was read from the input; -1: not known. Raises Internal where they are not all written."""
    output, uid = plan.job.output.path.rstrip("/"), plan.job.uid
    before = committed(storage, output, uid)
    if before is None:
        records = _recorded(plan, storage)
        files = [file for record in records for file in record.files]
        written, left_out = sum(f.rows for f in files), sum(record.left_out for record in records)
        if rows not in (-1, written + left_out):
            also = f", and {left_out} left out by output.filter" if left_out else ""
            raise Internal(f"{rows} rows were read but {written} written{also}: the output was not committed")
        if plan.job.output.overwrite:
            _replace(storage, output, uid, {f.name for f in files})
        by = plan.job.output.partition_by
        whole = storable(plan.output_schema(), plan.job.output.format)
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
            left_out=left_out if plan.job.output.filter else msgspec.UNSET,
        )
        storage.put(f"{output}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(before), indent=1))
        storage.put(f"{output}/{SUCCESS}", b"")
    ends.clear_staging(storage, output, uid)
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
    ends.undo(storage, output, uid, overwrite, lambda paths: [[path for path in paths if is_output(path, output)]])


def _recorded(plan: Plan, storage: Storage) -> list[GroupRecord]:
    """What was written of all groups, by partition."""
    job, fingerprint = plan.job, plan.summary.fingerprint
    records = every_group(storage, job.output.path, job.uid, fingerprint, plan.layout.groups, GroupRecord)
    files = [file for record in records for file in record.files]
    if not plan.job.output.partition_by and len(files) != plan.layout.partitions:
        raise Internal(f"{len(files)} files were written where there are {plan.layout.partitions} partitions")
    return records


def _replace(storage: Storage, output: str, uid: str, names: set[str]) -> None:
    """Older output goes, the staged files take its place. From here to `_SUCCESS` the folder is in between: the older
    `_SUCCESS` goes first, so nobody takes the mixture for whole."""
    there = begin_replacing(storage, output, uid)
    storage.remove([f"{output}/{SUCCESS}", f"{output}/{MANIFEST}"])
    storage.remove([path for path in there if is_output(path, output) and relative(path, output) not in names])
    ends.move_in(storage, staging(output, uid), output, sorted(names))
