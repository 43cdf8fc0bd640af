"""Standard input, output and error as the program finds them: closed, full, or in a narrow encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import NoReturn

_OF_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EINVAL}


def prepare() -> None:
    """Put the null device where a stream was closed: a file that is opened later must not take its number. A character
    that the terminal's encoding does not have is written as an escape."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Raises OSError where what was printed cannot be written."""
    sys.stdout.flush()


def is_of_output(error: OSError) -> bool:
    """Whether the error comes from printing: it names no file."""
    return error.filename is None and error.errno in _OF_OUTPUT


def give_up() -> None:
    """Stop printing: Python would complain once more at exit about what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(code: int) -> NoReturn:
    """End this process. Python would take all modules apart first, which takes longer than many a command does."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)
