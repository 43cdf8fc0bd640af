"""Standard error as rich writes it, but for a reader that has gone: rich would end the program."""

from __future__ import annotations

from rich.console import Console


class ErrorConsole(Console):
    """Writes to standard error. Raises OSError where nobody reads it any more."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
