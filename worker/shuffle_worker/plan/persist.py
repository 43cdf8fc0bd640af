"""The plan as a file: JSON, compressed, in the output's staging folder; the same bytes for the same input and job."""

from __future__ import annotations

import struct

import msgspec
import pyarrow as pa
import xxhash

from shuffle_worker.errors import AccessDenied, InputNotFound, Internal, InvalidSpec
from shuffle_worker.plan.record import Plan
from shuffle_worker.protocol.messages import Job
from shuffle_worker.storage.base import Storage
from shuffle_worker.writers.output import plan_path

_LENGTH = struct.Struct("<Q")

MOST_BYTES = 1 << 32
"""Of a plan's text; a length beyond it is a damaged one."""


def fingerprint(plan: Plan) -> str:
    """xxh3-64 of what the plan says, whoever's job it is and on however many workers it runs."""
    replace = msgspec.structs.replace
    functions = replace(plan.job.functions, memory=0)
    job = replace(
        plan.job,
        uid="",
        name="",
        workers=0,
        memory=0,
        preemptible=False,
        retain_shards=False,
        most_workers=0,
        functions=functions,
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


def decode(data: bytes) -> Plan:
    size = _LENGTH.unpack_from(data)[0]
    if size > MOST_BYTES:
        raise ValueError(f"a length of {size:,} bytes")
    text = pa.Codec("zstd").decompress(memoryview(data)[_LENGTH.size :], size, asbytes=True)
    return msgspec.json.decode(text, type=Plan)


def save(plan: Plan, storage: Storage) -> None:
    storage.put(plan_path(plan.job.output.path, plan.job.uid), encode(plan))


def saved(storage: Storage, job: Job) -> Plan | None:
    """The plan that was saved for this very job, if one was: a job's plan is made once, for what was written goes by it
    even if the input has changed since."""
    try:
        data = storage.read(plan_path(job.output.path, job.uid))
    except (InputNotFound, InvalidSpec, AccessDenied):  # what is wrong with input or output is for the planner to tell
        return None
    try:
        plan = decode(data)
    except (ValueError, OverflowError, struct.error, OSError, pa.ArrowException):
        return None
    settled = msgspec.structs.replace(plan.job, workers=job.workers, most_workers=job.most_workers)
    return plan if settled == job and fingerprint(plan) == plan.summary.fingerprint else None


def load(storage: Storage, job: Job, fingerprint: str) -> Plan:
    """The plan that was saved for this job. Raises InputNotFound where there is none, Internal where it is another."""
    path = plan_path(job.output.path, job.uid)
    data = storage.read(path)
    try:
        plan = decode(data)
    except (ValueError, OverflowError, struct.error, OSError, pa.ArrowException) as error:
        raise Internal(f"{path}: is no plan that this version can read: {error}") from error
    if plan.summary.fingerprint != fingerprint:
        raise Internal(
            f"{path}: holds the plan {plan.summary.fingerprint}, but the job goes by {fingerprint}; "
            "is another job writing to this output?"
        )
    return plan
