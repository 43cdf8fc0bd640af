"""The process that a function runs in, seen from the worker: started, looked at, ended.

`host.py` talks to it. What it prints goes to the worker's log, `MOST_LINES` lines of it. The processor time of
all that live is known here (`cpu_of_all`), because the worker's own does not have it; what ended ones took is among the
worker's ended children.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from shuffle_worker.functions.limits import PROGRESS, memory_of

log = logging.getLogger("shuffle.function")

MOST_LINES = 5_000
MOST_LINE = 2_000
KEPT_LINES = 10
MOST_WORDS = 1 << 16
_TICKS = os.sysconf("SC_CLK_TCK")

_spawner = ThreadPoolExecutor(1, thread_name_prefix="function-start")
"""Starts the processes: they end with the thread that started them, and this one stays as long as the worker."""

_living: set[int] = set()
_changing = threading.Lock()


def cpu_of_all() -> float:
    """Seconds of processor time that the function processes of this worker that live have taken."""
    with _changing:
        return sum(map(_cpu_of, _living))


def _cpu_of(pid: int) -> float:
    """Of a process, and of those that it started and that ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


class PrintedOutput:
    """What a process prints, line by line to the log. Its last lines are kept to say why it ended."""

    def __init__(self, pipe: TextIO, function: str) -> None:
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._function = function
        self._thread = threading.Thread(target=self._drain, args=(pipe,), name="function-output", daemon=True)
        self._thread.start()

    def ended(self) -> None:
        """Wait for its last words; a process of its own that the function left may hold the pipe open longer."""
        self._thread.join(timeout=0.5)

    def _drain(self, pipe: TextIO) -> None:
        lines = 0
        with pipe as file:
            while line := file.readline(MOST_LINE):
                text = line.rstrip()
                self.tail.append(text)
                lines += 1
                if lines <= MOST_LINES:
                    log.info("%s: %s", self._function, text)
                elif lines == MOST_LINES + 1:
                    log.warning("%s: has printed %d lines; what follows is not kept", self._function, MOST_LINES)


class Process:
    """One that lives until `end`. socket: the worker's end, which does not block."""

    def __init__(self, function: str) -> None:
        with contextlib.ExitStack() as mine, contextlib.ExitStack() as its:
            self.socket, far = socket.socketpair()
            mine.callback(self.socket.close)
            its.callback(far.close)
            page = os.memfd_create("progress")
            its.callback(os.close, page)
            self._faults = os.memfd_create("faults")
            mine.callback(os.close, self._faults)
            reading, writing = os.pipe()
            its.callback(os.close, writing)
            file = mine.enter_context(os.fdopen(reading, encoding="utf-8", errors="replace"))
            os.ftruncate(page, mmap.PAGESIZE)
            self._page = mmap.mmap(page, mmap.PAGESIZE)
            mine.callback(self._page.close)
            self._process: subprocess.Popen[bytes] = _spawner.submit(
                subprocess.Popen,
                [sys.executable, "-P", "-m", "shuffle_worker.functions.child"]
                + [str(number) for number in (far.fileno(), page, self._faults, os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=(far.fileno(), page, self._faults),
                env=_environment(),
                start_new_session=True,
            ).result()
            with _changing:
                _living.add(self._process.pid)
            mine.callback(self._kill)
            self.socket.setblocking(False)
            self._output = PrintedOutput(file, function)
            mine.pop_all()  # what is left open is closed by `end`, and the pipe by its reader

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        """It ended by itself, or somebody else ended it. It is not taken off the system's list before `end`, so that
        its number is that of no other."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    @property
    def memory(self) -> int:
        return memory_of(self.pid)[0]

    @property
    def call(self) -> tuple[int, int]:
        """When the call that it is in began, in nanoseconds, 0 for none; the group's number, -1 for none."""
        began, group = PROGRESS.unpack_from(self._page)
        return int(began), int(group)

    def last_words(self, asked: bool = False) -> str:
        """What it wrote down when it crashed; asked: have it write where it is."""
        if asked:
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGUSR1)
            until = time.monotonic() + 0.5
            while not self._written() and time.monotonic() < until:
                time.sleep(0.01)
        return self._written()

    def _written(self) -> str:
        size = os.fstat(self._faults).st_size
        return os.pread(self._faults, min(size, MOST_WORDS), 0).decode(errors="replace")

    def exit_code(self) -> int:
        """Once it has closed its end of the socket; 0 where it lives on. Negative: the signal."""
        until = time.monotonic() + 5
        while not self.over and time.monotonic() < until:
            time.sleep(0.005)
        ended = self.over
        self._kill()
        self._output.ended()
        return self._process.returncode if ended else 0

    def last_line(self) -> str:
        """What it printed last."""
        return next((line for line in reversed(self._output.tail) if line.strip()), "")

    def end(self) -> None:
        """With everything that the function started. Nothing here may be used any more."""
        self._kill()
        self.socket.close()
        self._page.close()
        os.close(self._faults)

    def _kill(self) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with _changing:  # what it took is counted among the ended children from here on
            _living.discard(self.pid)


def _environment() -> dict[str, str]:
    """Of this process, and: Arrow takes memory from the C library, where its use is seen at once and a limit holds; no
    bytecode is left beside the user's modules; what is printed comes at once."""
    return {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
