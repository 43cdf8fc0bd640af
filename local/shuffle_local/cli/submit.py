"""`shuffle submit FILE`: check a job file and create it in the cluster."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import Annotated

import typer

from shuffle_local.cli import say
from shuffle_local.cli.cluster import ContextOption, NamespaceOption, follow, with_client
from shuffle_local.cli.exits import FAILED


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file (YAML); - for standard input.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name than the file's.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show its progress until it is finished.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the resource as one JSON object.")] = False,
) -> None:
    """Submit a job to the cluster.

    Exit codes: 0 submitted (with --wait: complete), 1 refused by the cluster (with --wait: failed), 2 an invalid job.
    """
    from shuffle_operator.api.validation import load

    loaded = load(file)
    where = namespace or loaded.job.metadata.namespace
    job = with_client(where, context, lambda client: client.submit(loaded.job, name=name))
    typer.echo(f"shufflejob {job.namespace}/{job.name} submitted", err=json or wait)
    if wait:
        job = follow(job.namespace, context, job.name)
    if json:
        typer.echo(jsons.dumps(job.body))
    if job.failed:
        say.failure(job.message)
        raise typer.Exit(FAILED)
