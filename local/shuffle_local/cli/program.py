"""The commands of `shuffle` and their options.

A command is a module here with a function of the same name, listed in `COMMANDS`. Only the module of the command that
was asked for is imported: `shuffle --help` starts no engine, and `shuffle validate` needs no network library.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

COMMANDS: dict[str, str] = {
    "init": "Write a commented job file to start from.",
    "validate": "Check a job file; nothing is read or started.",
    "explain": "Show the plan of a job; nothing is written.",
    "run": "Run a job on this machine.",
    "submit": "Submit a job to the cluster.",
    "status": "Say where jobs of the cluster stand.",
    "watch": "Show a job's progress until it is finished.",
    "logs": "Print the logs of a job's workers.",
    "report": "Write the report of a job that is over to a file.",
    "cancel": "Stop a job of the cluster and remove what it wrote.",
    "doctor": "Check whether the cluster can run jobs.",
    "crd": "Print the CustomResourceDefinition for kubectl apply.",
}
"""Every command, in the order of the help, with its line there; the module's docstring says more."""

COMPLETION = "_SHUFFLE_COMPLETE"
"""The variable by which a shell says that it wants to complete a command line."""


def program_of(arguments: Sequence[str]) -> Callable[..., Any]:
    """The program with the one command that is asked for, or, where it is help that is wanted, with all their names."""
    program = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback(help="Join, group, sort and repartition tables larger than memory, here or in Kubernetes.")(
        _global
    )
    wanted = arguments[0] if arguments else _completed()
    for name, line in COMMANDS.items():
        function = getattr(importlib.import_module(f"shuffle_local.cli.{name}"), name) if name == wanted else _named
        program.command(name, help=None if name == wanted else line, no_args_is_help=False)(function)
    return program


def _completed() -> str:
    """The command whose options a shell asks for (typer's completion runs the program without arguments)."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return next((word for word in words.split()[1:] if word in COMMANDS), "") if COMPLETION in os.environ else ""


def _named() -> None:
    """Stands in the help for a command that was not asked for."""


def _version(wanted: bool) -> None:
    if wanted:
        from shuffle_protocol.release import described

        typer.echo(f"shuffle {described()}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print version, commit and protocol, and exit.", is_eager=True, callback=_version
        ),
    ] = False,
) -> None:
    """Options of the program itself; each does its work in its callback."""
