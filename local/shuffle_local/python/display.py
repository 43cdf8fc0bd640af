"""How far a job is: a bar in a terminal or a notebook, nothing elsewhere, or calls of a function of the caller's."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from shuffle_local.python.background import Showing
from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import Snapshot

MOST_NOTES = 5
"""Of what happened, below the bar of a notebook."""

Progress = bool | Callable[[Snapshot], object] | None
"""None: a bar where there is a terminal or a notebook; True: a line now and then where there is neither, as `shuffle
run` has them; False: nothing; a function: it is given a snapshot several times a second, and the last one. What it
raises stops the job."""


def showing(progress: Progress, warnings: Sequence[str] = ()) -> Showing:
    """warnings: of the machine, before the job starts."""
    if callable(progress):
        return Calling(progress)
    if progress is False:
        return Calling(lambda _: None)
    if in_notebook():
        return InNotebook(warnings)
    if progress is None and not sys.stderr.isatty():
        return Calling(lambda _: None)
    return InTerminal(warnings)


def in_notebook() -> bool:
    """Whether an IPython kernel, and no plain prompt, shows what is displayed."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class Calling:
    """A function of the caller's."""

    def __init__(self, function: Callable[[Snapshot], object]) -> None:
        self._function = function

    def __enter__(self) -> Calling:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def show(self, now: Snapshot) -> None:
        self._function(now)

    def note(self, note: Note) -> None: ...


_one_bar = threading.Lock()


class InTerminal:
    """The bar of `shuffle run`. Two of them would draw over each other: a job beside one that has it shows nothing."""

    def __init__(self, warnings: Sequence[str]) -> None:
        self._warnings = warnings

    def __enter__(self) -> InTerminal:
        from shuffle_local.cli.progress import Display

        self._has_it = _one_bar.acquire(blocking=False)
        self._display = Display(quiet=not self._has_it)
        self._display.__enter__()
        for text in self._warnings:
            self._display.warn(text)
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._display.__exit__(*error)
        finally:
            if self._has_it:
                _one_bar.release()

    def show(self, now: Snapshot) -> None:
        self._display.show(now)

    def note(self, note: Note) -> None:
        self._display.note(note)


class InNotebook:
    """A bar in HTML below the cell, which changes in place."""

    def __init__(self, warnings: Sequence[str]) -> None:
        self._warnings = [f"Warning: {each}" for each in warnings]
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)
        self._handle: Any = None
        self._shown = ""

    def __enter__(self) -> InNotebook:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def note(self, note: Note) -> None:
        if note.warning:
            self._notes.append(f"{note.reason}: {note.message}")

    def show(self, now: Snapshot) -> None:
        from IPython.display import HTML, display

        from shuffle_local.python.hypertext import bar

        text = bar(now, [*self._warnings, *self._notes])
        if text == self._shown:
            return
        self._shown = text
        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)
        else:
            self._handle.update(HTML(text))
