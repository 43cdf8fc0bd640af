"""`shuffle watch NAME`: a job's progress, live, until it is finished."""

from __future__ import annotations

import typer

from shuffle_local.cli import say
from shuffle_local.cli.cluster import ContextOption, NameArgument, NamespaceOption, follow
from shuffle_local.cli.exits import FAILED


def watch(name: NameArgument, namespace: NamespaceOption = None, context: ContextOption = None) -> None:
    """Show a job's progress until it is finished. Exit codes: 0 complete, 1 failed, 130 interrupted (it goes on)."""
    job = follow(namespace, context, name)
    if job.failed:
        say.failure(job.message)
        raise typer.Exit(FAILED)
