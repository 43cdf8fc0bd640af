"""Standard error as rich writes it, but for a reader that has gone: rich would end the program."""

from __future__ import annotations

from rich.console import Console


class ErrorConsole(Console):
    """Writes to standard error. Raises OSError where nobody reads it any more."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    @property
    def is_screen(self) -> bool:
        """Whether lines are broken between words and drawn over; a pipe, a file and a dumb terminal, whose width nobody
        knows, get whole lines."""
        return self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
