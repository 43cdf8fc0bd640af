"""`shuffle explain FILE`: make the plan and show it; nothing is started and nothing is written.

What would refuse the job when it runs (an input that is not there, a column, memory, an output that exists) refuses it
here, with the same words. Exit codes: 0, 2 refused.
"""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from shuffle_operator.cli.local_job import local_job
from shuffle_operator.cli.options import FileArgument, MemoryOption, WorkersOption


def explain(
    file: FileArgument,
    workers: WorkersOption = None,
    memory: MemoryOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
) -> None:
    """Say what a job would do: inputs, columns, splits, partitions, memory, disk."""
    from shuffle_worker.memory import Budgets
    from shuffle_worker.plan.explain import explain as explanation_of
    from shuffle_worker.plan.explain import render_text
    from shuffle_worker.plan.planner import make_plan
    from shuffle_worker.storage import storage_for

    job = local_job(file, workers, memory)
    budgets = Budgets.for_limit(job.memory)
    plan = make_plan(
        job,
        budgets,
        [storage_for(source.paths[0], source.storage) for source in job.inputs],
        storage_for(job.output.path, job.output.storage),
    )
    found = explanation_of(plan, budgets)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        typer.echo(render_text(found), nl=False)
