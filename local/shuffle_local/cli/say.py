"""Messages to the person at the terminal, on standard error.

On a terminal a message is broken between words and its reason is in colour (not with NO_COLOR or TERM=dumb); in a pipe
or a file it is one line, without codes. A terminal that was closed, or a reader that has gone, stops nothing: what
could not be said is dropped, and the exit code still tells.
"""

from __future__ import annotations

from contextlib import suppress


def error(reason: str, message: str) -> None:
    """`InvalidSpec: what was found, what to do`."""
    from rich.text import Text

    _say(Text.assemble((reason, "bold red"), f": {message}"))


def failure(message: str) -> None:
    """A message that begins with its reason, as a job's has it."""
    reason, _, rest = message.partition(": ")
    if rest:
        error(reason, rest)
    else:
        line(message)


def line(text: str, style: str = "") -> None:
    """A line that is not an error."""
    from rich.text import Text

    _say(Text(text, style=style))


def _say(text: object) -> None:
    from shuffle_local.cli.console import ErrorConsole

    console = ErrorConsole()
    with suppress(OSError):
        console.print(text, soft_wrap=not console.is_screen)
