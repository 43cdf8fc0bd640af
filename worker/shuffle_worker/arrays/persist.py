"""The plan of a rechunk as a file: compressed JSON in the staging folder, as `plan/persist.py` keeps that of tables."""

from __future__ import annotations

import struct

import msgspec
import pyarrow as pa
import xxhash

from shuffle_worker.arrays.record import Plan
from shuffle_worker.errors import AccessDenied, InputNotFound, Internal, InvalidSpec
from shuffle_worker.protocol.messages import Job
from shuffle_worker.storage import Storage
from shuffle_worker.writers.output import plan_path

_LENGTH = struct.Struct("<Q")

MOST_BYTES = 1 << 32
"""Of a plan's text; a length beyond it is a damaged one."""


def fingerprint(plan: Plan) -> str:
    """xxh3-64 of what the plan says, whoever's job it is. Pieces and boxes count, for shards follow them."""
    replace = msgspec.structs.replace
    job = replace(
        plan.job, uid="", name="", workers=0, memory=0, preemptible=False, retain_shards=False, most_workers=0
    )
    summary = replace(
        plan.summary,
        fingerprint="",
        memory_needed=0,
        scratch_needed=0,
        method_reason="",
        notes=[],
        tree=None,
        seconds=0,
    )
    return xxhash.xxh3_64_hexdigest(msgspec.json.encode(replace(plan, job=job, summary=summary)))


def with_fingerprint(plan: Plan) -> Plan:
    summary = msgspec.structs.replace(plan.summary, fingerprint=fingerprint(plan))
    return msgspec.structs.replace(plan, summary=summary)


def encode(plan: Plan) -> bytes:
    text = msgspec.json.encode(plan)
    return _LENGTH.pack(len(text)) + pa.Codec("zstd").compress(text, asbytes=True)


def decode(data: bytes, path: str) -> Plan:
    try:
        size = _LENGTH.unpack_from(data)[0]
        if size > MOST_BYTES:
            raise ValueError(f"a length of {size:,} bytes")
        text = pa.Codec("zstd").decompress(memoryview(data)[_LENGTH.size :], size, asbytes=True)
        return msgspec.json.decode(text, type=Plan)
    except (ValueError, OverflowError, struct.error, OSError, pa.ArrowException) as error:
        raise Internal(f"{path}: is no plan that this version can read: {error}") from error


def save(plan: Plan, storage: Storage) -> None:
    storage.put(plan_path(plan.job.output.path, plan.job.uid), encode(plan))


def saved(storage: Storage, job: Job) -> Plan | None:
    """The plan that was saved for this very job, if one was: what was written goes by it, though the number of workers
    or the input may have changed since."""
    path = plan_path(job.output.path, job.uid)
    try:
        plan = decode(storage.read(path), path)
    except (InputNotFound, InvalidSpec, AccessDenied, Internal):  # what is wrong there is for the planner to tell
        return None
    settled = msgspec.structs.replace(plan.job, workers=job.workers, most_workers=job.most_workers)
    return plan if settled == job and fingerprint(plan) == plan.summary.fingerprint else None


def load(storage: Storage, job: Job, fingerprint: str) -> Plan:
    """The plan that was saved for this job. Raises InputNotFound where there is none, Internal where it is another."""
    path = plan_path(job.output.path, job.uid)
    plan = decode(storage.read(path), path)
    if plan.summary.fingerprint != fingerprint:
        raise Internal(
            f"{path}: holds the plan {plan.summary.fingerprint}, but the job goes by {fingerprint}; "
            "is another job writing to this output?"
        )
    return plan
