"""`python -m shuffle_worker.worker.explaining`: makes a job's plan, in a process of its own, and says what it is.

A file on which a library in C++ aborts would take `shuffle explain` with it, which could not say then which file it
was. It is started before there is a job, and imports what most jobs need. Then standard input says, a line each, the
file of the trail and the job as JSON; what comes out is a `PlanningResult`, as JSON on standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from shuffle_protocol import trail
from shuffle_protocol.errors import JobError
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_worker.runtime.importing import quickly

if TYPE_CHECKING:
    from shuffle_worker.arrays.explain import RechunkExplanation
    from shuffle_worker.plan.explained import Explanation


class PlanningResult(Struct, frozen=True):
    """What a process that made a plan says of it."""

    explanation: msgspec.Raw = msgspec.Raw(b"null")
    """As JSON, of a plan that was made. Else why not: reason and message as in `JobError`."""
    reason: str = ""
    message: str = ""
    refusal: bool = False


def explanation_of(job: Job) -> Explanation | RechunkExplanation:
    return _of_arrays(job) if isinstance(job.operation, Rechunk) else _of_tables(job)


def _of_tables(job: Job) -> Explanation:
    from shuffle_protocol.memory import Budgets
    from shuffle_worker.planning.explain import explain
    from shuffle_worker.planning.planner import make_plan
    from shuffle_worker.storage import storage_for

    budgets = Budgets.for_limit(job.memory, functions=job.functions.memory)
    plan = make_plan(
        job,
        budgets,
        [storage_for(source.paths[0], source.storage) for source in job.inputs],
        storage_for(job.output.path, job.output.storage),
        timed=True,
    )
    return explain(plan, budgets)


def _of_arrays(job: Job) -> RechunkExplanation:
    from shuffle_worker.worker.works import need_zarr

    need_zarr()
    from shuffle_protocol.memory import Budgets
    from shuffle_worker.arrays.explain import explain
    from shuffle_worker.arrays.planner import make_plan
    from shuffle_worker.storage import storage_for

    budgets = Budgets.for_limit(job.memory, functions=job.functions.memory)
    source = job.inputs[0]
    plan = make_plan(
        job,
        budgets,
        storage_for(source.paths[0], source.storage),
        storage_for(job.output.path, job.output.storage),
    )
    return explain(plan, budgets)


def answer(job: Job) -> PlanningResult:
    try:
        with trail.at("making the plan"):
            return PlanningResult(msgspec.Raw(msgspec.json.encode(explanation_of(job))))
    except JobError as error:
        return PlanningResult(reason=error.reason, message=error.message, refusal=error.refusal)


def main() -> None:
    with quickly():
        import shuffle_worker.planning.explain
        import shuffle_worker.planning.planner  # noqa: F401
    where, _, asked = sys.stdin.buffer.read().rpartition(b"\n")
    if not asked:
        return  # the program that started this one has no job after all
    trail.keep(Path(os.fsdecode(where)))
    job = msgspec.json.decode(asked, type=Job)
    out = os.dup(1)
    os.dup2(2, 1)  # a function of the user's may print
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(answer(job)))
    trail.end()
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(130)
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)  # everything is closed; tearing Arrow's thread pools down aborts the process now and then
