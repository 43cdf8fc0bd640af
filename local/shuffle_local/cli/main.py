"""The program `shuffle`: its commands, and how errors end.

A command is a module here with a function of the same name, listed in `COMMANDS`. Only the module of the command that
was asked for is imported: `shuffle --help` starts no engine, and `shuffle validate` needs no network library.

Exit codes: 0 complete, 1 the job failed, 2 invalid input, 130 interrupted. A `JobError` is for the person at the
terminal, so it is shown as its reason and message, without a traceback; anything else that escapes is a defect of ours.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from shuffle_local.cli import streams
from shuffle_local.cli.exits import FAILED, INTERRUPTED, INVALID
from shuffle_protocol.errors import JobError

COMMANDS: dict[str, str] = {
    "init": "Write a commented job file to start from.",
    "validate": "Check a job file; nothing is read or started.",
    "explain": "Show the plan of a job; nothing is written.",
    "run": "Run a job on this machine.",
    "submit": "Submit a job to the cluster.",
    "status": "Say where jobs of the cluster stand.",
    "watch": "Show a job's progress until it is finished.",
    "logs": "Print the logs of a job's workers.",
    "cancel": "Stop a job of the cluster and remove what it wrote.",
    "doctor": "Check whether the cluster can run jobs.",
    "crd": "Print the CustomResourceDefinition for kubectl apply.",
}
"""Every command, in the order of the help, with its line there; the module's docstring says more."""


COMPLETION = "_SHUFFLE_COMPLETE"
"""The variable by which a shell says that it wants to complete a command line."""


def main() -> NoReturn:
    """Entry point of the program."""
    streams.prepare()
    gc.disable()  # until all is imported: what imports make stays for good, and would be looked at again and again
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Carry a command line out; returns the exit code."""
    try:
        program = _program(arguments)
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        try:
            program(args=list(arguments), prog_name="shuffle")
        finally:
            streams.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except JobError as error:
        from shuffle_local.cli import say

        say.error(error.reason, error.message)
        return INVALID if error.refusal else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.give_up()  # the program that read the output has ended (`shuffle crd | head`)
        return FAILED
    except OSError as error:
        if not streams.is_of_output(error):
            return _defect()
        from shuffle_local.cli import say

        streams.give_up()
        say.line(f"Standard output cannot be written: {error.strerror}")
        return FAILED
    except Exception:
        return _defect()
    return 0


def _defect() -> int:
    typer.echo(traceback.format_exc(), err=True)
    typer.echo("Internal: this is a defect of shuffle; please report it with the lines above.", err=True)
    return FAILED


def _program(arguments: Sequence[str]) -> Callable[..., Any]:
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
        from importlib.metadata import version

        typer.echo(f"shuffle {version('shuffle-operator')}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options of the program itself; each does its work in its callback."""
