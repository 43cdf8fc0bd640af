"""Starts, watches and ends the process that a function runs in.

`host.py` talks to it. Its output goes to the worker's log, up to `MOST_LINES` lines. `cpu_of_all` adds up the processor
time of the living processes, which the worker's own does not include; that of ended ones is in the time of the worker's
ended children.
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
"""Starts the processes. They end with the thread that started them, and this thread lives as long as the worker."""

_living: set[int] = set()
_changing = threading.Lock()


def cpu_of_all() -> float:
    """Seconds of processor time that this worker's living function processes have used."""
    with _changing:
        return sum(map(_cpu_of, _living))


def end_all() -> None:
    """End the function processes of this worker, with everything that they started: a thread that waits for one finds
    it gone. For a worker that leaves, and would wait for a call to end."""
    with _changing:
        living = list(_living)
    for pid in living:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _cpu_of(pid: int) -> float:
    """Seconds of processor time of a process and of its ended children."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


class PrintedOutput:
    """Logs what a process prints, line by line, and keeps the last lines to say why it ended."""

    def __init__(self, pipe: TextIO, function: str) -> None:
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._function = function
        self._thread = threading.Thread(target=self._drain, args=(pipe,), name="function-output", daemon=True)
        self._thread.start()

    def ended(self) -> None:
        """Wait for the last output, but not for ever: a process that the function left behind may keep the pipe
        open."""
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
    """A process that lives until `end`. socket: the worker's end, which does not block."""

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
            mine.pop_all()  # `end` closes what is open now; the pipe's reader closes the pipe

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether it has ended, by itself or from outside. `end` reaps it, so until then no other process gets its
        number."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    @property
    def memory(self) -> int:
        return memory_of(self.pid)[0]

    @property
    def call(self) -> tuple[int, int]:
        """When the current call began, in nanoseconds (0: there is none), and the group's number (-1: none)."""
        began, group = PROGRESS.unpack_from(self._page)
        return int(began), int(group)

    def last_words(self, asked: bool = False) -> str:
        """What it wrote down when it crashed. asked: have it write now where it is."""
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
        """The exit code once it has closed its end of the socket; 0 if it lives on; negative: the signal."""
        until = time.monotonic() + 5
        while not self.over and time.monotonic() < until:
            time.sleep(0.005)
        ended = self.over
        self._kill()
        self._output.ended()
        return self._process.returncode if ended else 0

    def last_line(self) -> str:
        """The last line that it printed."""
        return next((line for line in reversed(self._output.tail) if line.strip()), "")

    def end(self) -> None:
        """End it, and everything that the function started. Do not use this object afterwards."""
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
        with _changing:  # from here on its time is in that of the ended children
            _living.discard(self.pid)


def _environment() -> dict[str, str]:
    """This process's environment, changed: Arrow allocates from the C library, where memory shows at once and a limit
    holds; no bytecode is written beside the user's modules; output is not buffered."""
    return {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
