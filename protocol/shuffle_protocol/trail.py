"""Which files a process is working on, written where it is found after the process has died.

A library in C++ that aborts (or runs into a bad address) takes the process with it, and nothing in it can say any more
which file was to blame. So code that opens a file says so with `at`, and a file outside of the process, the *trail*,
lists what is in hand at every moment. A launcher reads it after the death of its worker (`read`), `shuffle explain`
after that of the process that makes the plan. Where no trail is kept, `at` does nothing.

Several threads have files in hand at once. When the process crashes, Python's fault handler adds to the trail which of
them it was. Not in a container: Kubernetes keeps the last 4,096 bytes of a trail, and the stacks of all threads are
more, so they go to standard error there.

Memory: a text for each file that is in hand. It costs two small writes for each file that is opened.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

NAME = "trail"
"""Of the file, in a worker's scratch."""

MOST = 3500
"""Characters that are kept of what is in hand: a container's last words have room for 4,096 bytes."""

MOST_NAMED = 3
"""Files that are named where it is not known which of those in hand it was."""

_BLAMED = re.compile(r"^worker (\d+) of the \d+ in this pod failed$", re.MULTILINE)
_CRASHED = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)


class _Trail:
    """Lines of `what<TAB>thread`, the newest last. The first bytes of the file; what a crash adds comes after them."""

    def __init__(self, path: Path, *, stacks: bool) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._crash = os.open(path, os.O_WRONLY | os.O_APPEND) if stacks else sys.stderr.fileno()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._lines: dict[int, bytes] = {}
        faulthandler.enable(self._crash, all_threads=True)  # only then does it say which crashed

    def enter(self, what: str, thread: int) -> int:
        line = f"{' '.join(what.split())}\t{thread:x}\n".encode(errors="replace")
        with self._lock:
            number = next(self._numbers)
            self._lines[number] = line
            self._write()
        return number

    def leave(self, number: int) -> None:
        with self._lock:
            del self._lines[number]
            self._write()

    def clear(self) -> None:
        faulthandler.disable()
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)

    def _write(self) -> None:
        text = b"".join(self._lines.values())[-MOST:]
        with contextlib.suppress(OSError):  # a disk that is full must not end the work
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))


_kept: _Trail | None = None


def keep(path: Path, *, stacks: bool = True) -> None:
    """Begin a trail for this process, once. Where the file cannot be written, none is kept. stacks: what a crash adds
    goes to the trail, for a reader who gets all of it; else to standard error."""
    global _kept
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _kept = _Trail(path, stacks=stacks)


def end() -> None:
    """The process ends in order: it works on nothing any more."""
    global _kept
    if _kept is not None:
        _kept.clear()
        _kept = None


@contextlib.contextmanager
def at(what: str, *, moves: bool = False) -> Iterator[None]:
    """For as long as something is in hand. what: as in "reading s3://bucket/file". moves: the thread that begins it may
    not be the one that goes on with it."""
    trail = _kept
    if trail is None:
        yield
        return
    number = trail.enter(what, 0 if moves else threading.get_ident())
    try:
        yield
    finally:
        trail.leave(number)


def read(path: Path) -> str:
    """What a process that died had in hand, as in "reading /data/a.parquet"; "" where nothing is known."""
    try:
        return said(path.read_text(errors="replace"))
    except OSError:
        return ""


def blame(number: int, count: int) -> str:
    """Which of a pod's workers failed, for the container's last words."""
    return f"worker {number} of the {count} in this pod failed"


def blamed(text: str) -> int | None:
    """The same read from there; None where it does not say."""
    found = _BLAMED.search(text)
    return int(found[1]) if found is not None else None


def said(text: str) -> str:
    """The same of a trail's text. Names what the thread that crashed had in hand, where it is known; else all."""
    found = [(what, thread) for what, mark, thread in (line.partition("\t") for line in text.splitlines()) if mark]
    crashed = _CRASHED.search(text)
    if crashed is not None:
        number = crashed[1].lstrip("0")
        mine = [what for what, thread in found if thread == number]
        if mine:
            return mine[-1]
    last = {
        thread: at for at, (_, thread) in enumerate(found)
    }  # what a thread began later is within what it began before
    every = list(dict.fromkeys(what for at, (what, thread) in enumerate(found) if thread == "0" or last[thread] == at))
    if len(every) <= 1:
        return "".join(every)
    more = ", or another" if len(every) > MOST_NAMED else ""
    return f"one of these: {', '.join(every[-MOST_NAMED:])}{more}"
