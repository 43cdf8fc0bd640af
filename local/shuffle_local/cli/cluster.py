"""What the commands for a cluster share: their options, a connection, and how its errors are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from shuffle_local.cli.exits import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from shuffle_operator.client import Client, SubmittedJob

T = TypeVar("T")

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="The job's namespace [default: the context's].")
]
ContextOption = Annotated[str | None, typer.Option("--context", metavar="NAME", help="The kubeconfig's context.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The job's name.")]


def with_client(namespace: str | None, context: str | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Connect, do the work, disconnect. An error of the cluster ends the program with one line."""
    from shuffle_operator.client import Client
    from shuffle_operator.kube.api import KubeError

    async def whole() -> T:
        async with await Client.connect(namespace, context) as client:
            return await work(client)

    try:
        return asyncio.run(whole())
    except KubeError as error:
        typer.echo(f"{error.reason}: {error.message}{_advice(error)}", err=True)
        raise typer.Exit(FAILED) from None


def _advice(error: object) -> str:
    from shuffle_operator.kube.api import KubeError

    assert isinstance(error, KubeError)
    if error.reason == "NotFound" and "could not find the requested resource" in error.message:
        return "; is the resource's definition installed? `shuffle doctor` looks"
    if error.status == 404 and error.message.startswith("404 page not found"):
        return "; is the resource's definition installed? `shuffle doctor` looks"
    return ""


def follow(namespace: str | None, context: str | None, name: str, quiet: bool = False) -> SubmittedJob:
    """Show a job's progress until it is finished."""
    from shuffle_local.cli.progress import Display
    from shuffle_operator.client.progress import snapshot_of

    async def work(client: Client) -> SubmittedJob:
        with Display(quiet) as display:
            async for job in client.watch(name):
                last = job
                display.show(snapshot_of(job))
            display.summary(snapshot_of(last))
            return last

    try:
        return with_client(namespace, context, work)
    except KeyboardInterrupt:
        typer.echo(f"The job goes on in the cluster; `shuffle cancel {name}` stops it.", err=True)
        raise typer.Exit(INTERRUPTED) from None
