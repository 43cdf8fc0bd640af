"""Processes that crashed: which signals say so, and a sentence about it.

A signal that a process brings upon itself comes from a defect in its code or a library's, and mostly comes again with
the same input. SIGKILL and SIGTERM come from somebody else.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

CRASHES = frozenset(
    {
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)

QUOTED = 300
"""Characters of a process's last output that are quoted."""


def crash(number: int, at: str, said: Iterable[str] = ()) -> str:
    """How a process was ended by one of `CRASHES`. at: what it had in hand (`shuffle_protocol.trail`), "" where that is
    not known. said: the last lines that it wrote to standard error."""
    words = last_words(said)
    name = signal.Signals(number).name
    return f"its process crashed ({name}){f' while {at}' if at else ''}{f': {words}' if words else ''}"


def last_words(lines: Iterable[str]) -> str:
    """What a library said before it ended the process: what the exception said, else the last line that is no log."""
    found = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
    for line in reversed(found):
        before, mark, after = line.partition("what():")
        if mark and not before:
            return after.strip()[:QUOTED]
    return found[-1][:QUOTED] if found else ""
