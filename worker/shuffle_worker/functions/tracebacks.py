"""Short tracebacks: what a function raised, in the user's own frames.

A whole traceback through pandas has forty frames, of which one is the user's. So frames of the user's code are shown
with their source line, and each run of other frames in one line. The user's code is what the job brings, and the
function's own package (which may be installed in the image).
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence

from shuffle_worker.functions.sources import ImportPath

MOST_FRAMES = 10
MOST_TEXT = 400
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - frames have text
"""The folder of this package, in full: a user may have a folder of the same name."""
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARIES = sorted(
    {sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {entry.rstrip(os.sep) + os.sep for entry in sys.path if entry.rstrip(os.sep).endswith(_INSTALLED)},
    key=len,
)
"""Folders of installed packages, those of one user and of the system's own tools included."""


def told(error: BaseException, places: Sequence[ImportPath] = (), package: str = "") -> str:
    """`ValueError: bad amount` and the frames below it, the innermost last. package: the function's top-level one."""
    lines = [_sentence(error)]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_ours(f.filename)]
    lines += _frames(frames, places, package)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"caused by {_sentence(cause)}")
    return "\n".join(lines)


def dumped(text: str, places: Sequence[ImportPath] = (), package: str = "") -> list[str]:
    """The user's frames in the output of `faulthandler`, the innermost last: `file, line 3, in f`."""
    found: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith('File "') and '", line ' in stripped:
            name, _, rest = stripped[6:].partition('", line ')
            if not _is_ours(name) and not _is_library(name, places, package):
                found.append(f"{_short(name, places)}, line {rest}")
        elif found and not stripped:
            break  # the next thread
    return list(reversed(found))[-MOST_FRAMES:]


def _sentence(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except BaseException:  # the user's exceptions may raise anything themselves
        text = ""
    if isinstance(error, SystemExit):
        text = f"{text}; a function ends with `return`".removeprefix("; ")
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _frames(frames: Sequence[traceback.FrameSummary], places: Sequence[ImportPath], package: str) -> list[str]:
    lines: list[str] = []
    hidden = 0
    library = ""
    for frame in frames:
        if frame.filename.startswith("<frozen importlib"):
            continue
        if _is_library(frame.filename, places, package):
            hidden += 1
            library = _library_of(frame.filename)
            continue
        if hidden:
            lines.append(_hidden(hidden, library))
            hidden = 0
        source = f": {frame.line.strip()[:160]}" if frame.line else ""
        lines.append(f"  {_short(frame.filename, places)}, line {frame.lineno}, in {frame.name}{source}")
    if hidden:
        lines.append(_hidden(hidden, library))
    if len(lines) > MOST_FRAMES:
        lines = [*lines[:2], f"  ... {len(lines) - MOST_FRAMES} more", *lines[-(MOST_FRAMES - 2) :]]
    return lines


def _hidden(count: int, library: str) -> str:
    return f"  ... {count} frame{'s' if count > 1 else ''} in {library}"


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen runpy"))


def _is_library(filename: str, places: Sequence[ImportPath], package: str) -> bool:
    if any(filename.startswith(place.folder + os.sep) for place in places):
        return False
    below = _below_library(filename)
    return below is not None and (not package or _top(below) != package)


def _below_library(filename: str) -> str | None:
    if filename.startswith("<frozen"):
        return filename
    found = [folder for folder in _LIBRARIES if filename.startswith(folder)]
    return filename[len(found[-1]) :] if found else None


def _library_of(filename: str) -> str:
    below = _below_library(filename) or filename
    return _top(below).strip("<>") or "Python"


def _top(path: str) -> str:
    """The package or module at the beginning of a path."""
    return path.partition(os.sep)[0].removesuffix(".py")


def _short(filename: str, places: Sequence[ImportPath]) -> str:
    """The file's name for the user: its path below the place that it came from."""
    folders = [place.folder for place in places] + [entry for entry in sys.path if entry]
    inside = [folder for folder in folders if filename.startswith(folder.rstrip(os.sep) + os.sep)]
    return filename[len(max(inside, key=len).rstrip(os.sep)) + 1 :] if inside else filename
