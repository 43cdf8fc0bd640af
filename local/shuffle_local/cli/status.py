"""`shuffle status [NAME]`: one job, or all of a namespace."""

from __future__ import annotations

import json as jsons
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from shuffle_local.cli.cluster import ContextOption, NamespaceOption, with_client
from shuffle_local.cli.exits import FAILED

if TYPE_CHECKING:
    from shuffle_operator.client import Client, SubmittedJob


def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The job's name; all jobs where absent.")] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the plan, with what was done beside what was expected.")
    ] = False,
) -> None:
    """Say where jobs of the cluster stand."""

    async def work(client: Client) -> list[SubmittedJob]:
        if name is None:
            return await client.jobs()
        found = await client.get(name)
        if found is None:
            typer.echo(f"NotFound: there is no ShuffleJob {name} in namespace {client.namespace}", err=True)
            raise typer.Exit(FAILED)
        return [found]

    jobs = with_client(namespace, context, work)
    if json:
        typer.echo(jsons.dumps([job.body for job in jobs] if name is None else jobs[0].body))
    elif name is None:
        _table(jobs)
    else:
        _details(jobs[0])
        if plan:
            _plan(jobs[0])


def _table(jobs: list[SubmittedJob]) -> None:
    if not jobs:
        typer.echo("There are no jobs.", err=True)
        return
    rows = [("NAME", "PHASE", "PROGRESS", "WORKERS", "MESSAGE")]
    for job in jobs:
        now = job.status
        workers = f"{now.workers.ready or 0}/{now.workers.desired or 0}" if now.workers is not None else ""
        rows.append((job.name, job.phase, f"{now.progress or 0} %", workers, job.message))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        typer.echo("  ".join([*(row[at].ljust(widths[at]) for at in range(4)), row[4]])[:screen])


def _details(job: SubmittedJob) -> None:
    from shuffle_protocol.units import readable

    now = job.status
    lines = [("Job", f"{job.namespace}/{job.name}"), ("Phase", job.phase), ("Message", job.message)]
    if now.start_time is not None:
        lines.append(("Started", f"{now.start_time:%Y-%m-%d %H:%M:%S} UTC"))
    if now.completion_time is not None:
        lines.append(("Finished", f"{now.completion_time:%Y-%m-%d %H:%M:%S} UTC, after {now.duration}"))
    if now.workers is not None:
        lost = f", {now.workers.lost} lost" if now.workers.lost else ""
        lines.append(("Workers", f"{now.workers.ready or 0} of {now.workers.desired or 0}{lost}"))
    if now.rows is not None:
        lines.append(("Rows", f"{now.rows.read or 0:,} read, {now.rows.written or 0:,} written"))
    if now.bytes is not None:
        spilled = f", {readable(now.bytes.spilled)} spilled" if now.bytes.spilled else ""
        lines.append(
            ("Bytes", f"{readable(now.bytes.read or 0)} read, {readable(now.bytes.written or 0)} written{spilled}")
        )
    if now.last_failure is not None:
        where = f" ({now.last_failure.pod})" if now.last_failure.pod else ""
        lines.append(("Last failure", f"{now.last_failure.reason}{where}: {now.last_failure.message}"))
    if now.output is not None:
        lines.append(("Output", str(now.output.path)))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        typer.echo(f"{label.ljust(width)}  {text}")


def _plan(job: SubmittedJob) -> None:
    import msgspec
    from rich.console import Console

    from shuffle_local.cli.plan_tree import actual_in, show
    from shuffle_protocol.messages import PlanNode

    if job.status.plan is None:
        typer.echo("There is no plan yet.", err=True)
        return
    tree = msgspec.json.decode(job.status.plan, type=PlanNode)
    typer.echo("")
    show(Console(highlight=False), tree, actual_in(job.status, tree) if job.finished else None)
