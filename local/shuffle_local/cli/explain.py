"""`shuffle explain FILE`: make the plan and show it; nothing is started and nothing is written.

What would refuse the job when it runs (an input that is not there, a column, memory, an output that exists) refuses it
here, with the same words. The plan is made in a process of its own (planning.py). Exit codes: 0, 2 refused.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from shuffle_local.cli.local_job import local_job
from shuffle_local.cli.options import FileArgument, MemoryOption, WorkersOption
from shuffle_local.cli.planning import explanation_of
from shuffle_protocol.jobs import Job, Rechunk

if TYPE_CHECKING:
    from shuffle_worker.arrays.explain import RechunkExplanation
    from shuffle_worker.plan.explained import Explanation


def explain(
    file: FileArgument,
    workers: WorkersOption = None,
    memory: MemoryOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
) -> None:
    """Show what a job would do: inputs, columns, splits, partitions, memory, disk."""
    job = local_job(file, workers, memory)
    found = explanation_of(job)
    if json:
        sys.stdout.buffer.write(found + b"\n")
    else:
        _show(decoded(job, found))


def decoded(job: Job, found: bytes) -> Explanation | RechunkExplanation:
    if isinstance(job.operation, Rechunk):
        from shuffle_worker.arrays.explain import RechunkExplanation

        return msgspec.json.decode(found, type=RechunkExplanation)
    from shuffle_worker.plan.explained import Explanation

    return msgspec.json.decode(found, type=Explanation)


def heading(found: Explanation | RechunkExplanation) -> tuple[str, str]:
    """What stands above the tree: the workers, behind the job's name, and a line on scratch."""
    from shuffle_protocol.units import readable

    work = found.work
    workers = f"{work.workers:,} worker{'' if work.workers == 1 else 's'}"
    return (
        f": {workers} of {readable(work.memory)} ({readable(work.memory_needed)} is the least), "
        f"{work.splits:,} split{'' if work.splits == 1 else 's'}, about {_duration(found.seconds)}",
        f"scratch: up to {readable(work.scratch)}, {readable(work.scratch / _owners(found))} for each worker"
        if work.scratch
        else "scratch: nothing is expected to be spilled",
    )


def _show(found: Explanation | RechunkExplanation) -> None:
    from rich.console import Console
    from rich.text import Text

    from shuffle_local.cli import say
    from shuffle_local.cli.machine import warnings
    from shuffle_local.cli.plan_tree import show

    console = Console(highlight=False)
    work = found.work
    for warning in warnings(work.workers, work.memory):
        say.line(f"Warning: {warning}", "yellow")
    of_workers, of_scratch = heading(found)
    console.print(Text.assemble((found.job, "bold"), of_workers), soft_wrap=True)
    console.print(of_scratch, soft_wrap=True)
    if found.tree is not None:
        show(console, found.tree)
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)


def _owners(found: Explanation | RechunkExplanation) -> int:
    """Workers that own a part of the output, and hold its rows: a file of a table is written by one."""
    partitions = getattr(found.output, "partitions", found.work.workers)
    return max(min(found.work.workers, partitions), 1)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
