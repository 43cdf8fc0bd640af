"""`shuffle cancel NAME`: stop a job and remove it from the cluster."""

from __future__ import annotations

import typer

from shuffle_local.cli.cluster import ContextOption, NameArgument, NamespaceOption, with_client
from shuffle_local.cli.exits import FAILED


def cancel(name: NameArgument, namespace: NamespaceOption = None, context: ContextOption = None) -> None:
    """Stop a job: its workers go and what it had written is removed; the output of a complete job stays."""
    if not with_client(namespace, context, lambda client: client.cancel(name)):
        typer.echo(f"NotFound: there is no ShuffleJob {name}", err=True)
        raise typer.Exit(FAILED)
    typer.echo(f"shufflejob {name} cancelled", err=True)
