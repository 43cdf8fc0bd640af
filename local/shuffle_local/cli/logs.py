"""`shuffle logs NAME`: what a job's workers have logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from shuffle_local.cli.cluster import ContextOption, NameArgument, NamespaceOption, with_client
from shuffle_local.cli.exits import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from shuffle_operator.client import Client


def logs(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    worker: Annotated[
        int | None, typer.Option("--worker", metavar="N", min=0, help="Only the worker of this index.")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", metavar="N", min=1, help="Only the last lines of each pod.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="As they are written, until the job is over.")] = False,
) -> None:
    """Print the logs of a job's worker pods, those that failed included as long as podRetention keeps them."""
    if follow:
        try:
            if not with_client(namespace, context, lambda client: _follow(client, name, worker, lines)):
                _nothing(name, worker, namespace, context)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        return
    found = with_client(namespace, context, lambda client: client.logs(name, worker, lines))
    if not found:
        _nothing(name, worker, namespace, context)
    for pod, text in found.items():
        for line in text.splitlines():
            typer.echo(f"{pod}: {line}" if len(found) > 1 else line)


def _nothing(name: str, worker: int | None, namespace: str | None, context: str | None) -> NoReturn:
    """Say why there are no logs, and fail."""
    from shuffle_local.cli import say

    if with_client(namespace, context, lambda client: client.get(name)) is None:
        say.error("NotFound", f"there is no ShuffleJob {name}, and no pod of one")
    else:
        which = f"no pod of worker {worker}" if worker is not None else "no pods"
        say.error("NotFound", f"{name} has {which} with logs (spec.podRetention: Always keeps them)")
    raise typer.Exit(FAILED)


async def _follow(client: Client, name: str, worker: int | None, lines: int | None) -> int:
    """Prints; returns the number of lines."""
    count = 0
    async for pod, line in client.follow(name, worker, lines):
        typer.echo(line if worker is not None else f"{pod}: {line}")
        count += 1
    return count
