"""`shuffle logs NAME`: what a job's workers have logged."""

from __future__ import annotations

from typing import Annotated

import typer

from shuffle_operator.cli.cluster import ContextOption, NameArgument, NamespaceOption, with_client
from shuffle_operator.cli.exits import FAILED


def logs(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    worker: Annotated[int | None, typer.Option("--worker", min=0, help="Only the worker of this index.")] = None,
    lines: Annotated[int | None, typer.Option("--lines", min=1, help="Only the last lines of each pod.")] = None,
) -> None:
    """Print the logs of a job's worker pods, those that failed included as long as podRetention keeps them."""
    found = with_client(namespace, context, lambda client: client.logs(name, worker, lines))
    if not found:
        typer.echo(f"{name} has no pods (spec.podRetention: Always keeps them for their logs)", err=True)
        raise typer.Exit(FAILED)
    for pod, text in found.items():
        for line in text.splitlines():
            typer.echo(f"{pod}: {line}" if len(found) > 1 else line)
