"""A plan as a file: JSON, compressed, in the output's staging folder; the same bytes for the same input and job.

For plans of tables (`plan/persist.py`) and of arrays (`arrays/persist.py`), which differ in what a plan is, and in
nothing else. Imports neither.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
import pyarrow as pa
import xxhash

from shuffle_protocol.errors import AccessDenied, InputNotFound, Internal, InvalidSpec
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.output.names import plan_path
from shuffle_worker.storage.storage import Storage

_LENGTH = struct.Struct("<Q")

MOST_BYTES = 1 << 32
"""Of a plan's text; a length beyond it is a damaged one."""


class AnyPlan(Protocol):
    @property
    def job(self) -> Job: ...

    @property
    def summary(self) -> PlanSummary: ...


P = TypeVar("P", bound=AnyPlan)


@dataclass(frozen=True, slots=True)
class PlanFile(Generic[P]):
    """The plan's file in the staging folder."""

    kind: type[P]
    """The plan's class, a msgspec Struct."""

    def fingerprint(self, plan: P) -> str:
        """xxh3-64 of what the plan says, of any job. Workers count only where the plan itself depends on them."""
        replace = msgspec.structs.replace
        job = replace(
            plan.job,
            uid="",
            name="",
            workers=0,
            memory=0,
            preemptible=False,
            retain_shards=False,
            most_workers=0,
            functions=replace(plan.job.functions, memory=0),
        )
        summary = replace(
            plan.summary,
            fingerprint="",
            memory_needed=0,
            scratch_needed=0,
            reading=0,
            writing=0,
            method_reason="",
            notes=[],
            tree=None,
            seconds=0,
            seconds_after=0.0,
            write_share=0.0,
        )
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode(_replaced(plan, job=job, summary=summary)))

    def with_fingerprint(self, plan: P) -> P:
        summary = msgspec.structs.replace(plan.summary, fingerprint=self.fingerprint(plan))
        return _replaced(plan, summary=summary)

    def encode(self, plan: P) -> bytes:
        text = msgspec.json.encode(plan)
        return _LENGTH.pack(len(text)) + pa.Codec("zstd").compress(text, asbytes=True)

    def decode(self, data: bytes, path: str = "the plan") -> P:
        """path: for the error, Internal, of bytes that are no plan."""
        try:
            size = _LENGTH.unpack_from(data)[0]
            if size > MOST_BYTES:
                raise ValueError(f"a length of {size:,} bytes")
            text = pa.Codec("zstd").decompress(memoryview(data)[_LENGTH.size :], size, asbytes=True)
            return msgspec.json.decode(text, type=self.kind)
        except (ValueError, OverflowError, struct.error, OSError, pa.ArrowException) as error:
            raise Internal(f"{path}: is no plan that this version can read: {error}") from error

    def save(self, plan: P, storage: Storage) -> None:
        storage.put(plan_path(plan.job.output.path, plan.job.uid), self.encode(plan))

    def saved(self, storage: Storage, job: Job) -> P | None:
        """The plan that was saved for this very job, if one was: a job's plan is made once, because what was written
        goes by it even if the number of workers or the input has changed since."""
        path = plan_path(job.output.path, job.uid)
        try:
            plan = self.decode(storage.read(path), path)
        except (InputNotFound, InvalidSpec, AccessDenied, Internal):  # the planner reports what is wrong there
            return None
        settled = msgspec.structs.replace(plan.job, workers=job.workers, most_workers=job.most_workers)
        return plan if settled == job and self.fingerprint(plan) == plan.summary.fingerprint else None

    def load(self, storage: Storage, job: Job, fingerprint: str) -> P:
        """The plan that was saved for this job. Raises InputNotFound where there is none, Internal where it is
        another."""
        path = plan_path(job.output.path, job.uid)
        plan = self.decode(storage.read(path), path)
        if plan.summary.fingerprint != fingerprint:
            raise Internal(
                f"{path}: holds the plan {plan.summary.fingerprint}, but the job goes by {fingerprint}; "
                "is another job writing to this output?"
            )
        return plan


def _replaced(plan: P, **changes: object) -> P:
    return msgspec.structs.replace(plan, **changes)  # type: ignore[type-var]
