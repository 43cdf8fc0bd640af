"""The worker's side of a function: starts its process, feeds it, watches its memory and its time, survives its end.

Called in compute threads: every call blocks until the process has answered, was ended, or the lease was taken away.
While it waits it looks, every `LOOK` seconds, whether the process keeps to its memory and its time, and whether the
lease is still wanted. One that does not is ended, and the next call starts another.

What the process prints goes to the worker's log, `MOST_LINES` lines of it. Buffers: one frame that is sent (a load of
rows, see `operations/grouping.py`) and one that came (`child.SEND_BYTES`, one row where that is larger).
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.functions.child import OUT_OF_MEMORY, PROGRESS, memory_of
from shuffle_worker.functions.shapes import Shape
from shuffle_worker.functions.sources import Place
from shuffle_worker.functions.tracebacks import dumped
from shuffle_worker.functions.wire import HEAD, Frame, Kind, pieces, rows_in, rows_pieces, schema_in, schema_pieces
from shuffle_worker.plan.schema import transport_schema
from shuffle_worker.units import readable

log = logging.getLogger("shuffle.function")

LOOK = 0.05
MOST_LINES = 5_000
MOST_LINE = 2_000
KEPT_LINES = 10
START_SECONDS = 120.0
"""For the process to start and to import the user's module."""

_spawner = ThreadPoolExecutor(1, thread_name_prefix="function-start")
"""Starts the processes: they end with the thread that started them, and this one stays as long as the worker."""

Check = Callable[[], None]
"""Raises where the work is not wanted any more."""


class Trouble(Exception):
    """A call that gave no result. kind: load, raised, differs, memory, time, crashed or killed. message: what happened,
    a sentence and perhaps frames. group: which of the call's groups it was in; -1 where that is not known."""

    def __init__(self, kind: str, message: str, group: int = -1) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.group = group


class Setup(NamedTuple):
    """What every process of one function is given. rows: the schema of the groups. wanted: of the results (a transport
    schema); None where whatever comes is taken. memory: bytes. seconds: for one call, 0 for any."""

    function: str
    places: Sequence[Place]
    rows: pa.Schema
    wanted: pa.Schema | None
    memory: int
    seconds: float
    reader: bool = False


class Output:
    """What a process prints, line by line to the log. Its last lines are kept to say why it ended."""

    def __init__(self, pipe: int, function: str) -> None:
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._function = function
        self._thread = threading.Thread(target=self._drain, args=(pipe,), name="function-output", daemon=True)
        self._thread.start()

    def ended(self) -> None:
        """Wait for its last words; a process of its own that the function left may hold the pipe open longer."""
        self._thread.join(timeout=0.5)

    def _drain(self, pipe: int) -> None:
        lines = 0
        with open(pipe, encoding="utf-8", errors="replace") as file:
            while line := file.readline(MOST_LINE):
                text = line.rstrip()
                self.tail.append(text)
                lines += 1
                if lines <= MOST_LINES:
                    log.info("%s: %s", self._function, text)
                elif lines == MOST_LINES + 1:
                    log.warning("%s: has printed %d lines; what follows is not kept", self._function, MOST_LINES)


class Host:
    """One process. Not shared between threads at the same time."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.shape = Shape.TABLE
        self.free = 0
        """Bytes that the function and its rows may take."""
        self._package = setup.function.partition(":")[0].partition(".")[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket
        self._poll: select.poll
        self._page: mmap.mmap
        self._faults: int
        self._output: Output
        self._schema: pa.Schema | None = None
        self._plain = pa.schema([])
        self._check: Check | None = None
        self._deadline = 0.0
        self._looked = 0.0

    # -- calls -------------------------------------------------------------------------------------------------------

    def start(self, check: Check | None = None) -> None:
        """Start the process and have it import the function, where that is not done. Raises Trouble."""
        if self._process is not None and self._process.poll() is not None:
            self._tidy()  # it was ended while nobody called it
        if self._process is not None:
            return
        self._spawn()
        setup = self.setup
        self._check, self._deadline = check, time.monotonic() + START_SECONDS
        places = [list(place) for place in setup.places]
        head = {
            "function": setup.function,
            "places": places,
            "limit": setup.memory,
            "wanted": setup.wanted is not None,
            "reader": setup.reader,
        }
        self._send(pieces(Kind.LOAD, head))
        if setup.wanted is not None:
            self._send(schema_pieces(setup.wanted))
        try:
            frame = self._receive()
            if frame.kind is not Kind.LOADED:
                told = frame.told()
                raise Trouble(told["kind"], told["message"])
        except Trouble:
            self.close()
            raise
        told = frame.told()
        self.shape, self.free = Shape(told["shape"]), int(told["free"])
        self._send(schema_pieces(setup.rows))
        self._deadline = 0.0

    def call(
        self,
        batches: Iterator[pa.RecordBatch],
        ends: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]] | None,
        check: Check,
    ) -> Iterator[pa.RecordBatch]:
        """Call the function once for each of the groups that lie in these rows one after the other, and give what it
        returned, in that order. ends: the row after each group; None: all rows are one. Several groups must be in one
        batch."""
        self.start(check)
        self._check = check
        rows = 0
        try:
            for batch in batches:
                self._send(rows_pieces(batch))
                rows += batch.num_rows
        except BaseException:
            self.close()  # it has rows of a call that never comes
            raise
        if ends is None:
            ends = [rows]
        self._send(pieces(Kind.CALL, None, np.ascontiguousarray(ends, np.int64)))  # type: ignore[arg-type]
        yield from self._results(iter(()))

    def stream(self, batches: Iterator[pa.RecordBatch], check: Check) -> Iterator[pa.RecordBatch]:
        """The same for one group whose batches are taken as the function asks for them."""
        self.start(check)
        self._check = check
        self._send(pieces(Kind.STREAM))
        yield from self._results(batches)

    def read(self, path: str, columns: Sequence[str] | None, check: Check) -> Generator[pa.RecordBatch]:
        """Call a reader: the batches of the tables that it gives for a path."""
        self.start(check)
        self._check = check
        self._send(pieces(Kind.READ, {"path": path, "columns": None if columns is None else list(columns)}))
        yield from self._results(iter(()))

    @property
    def schema(self) -> pa.Schema | None:
        """Of the results that came last, as the function gave them; None before the first."""
        return self._schema

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        self._kill()
        self._tidy()

    # -- frames ------------------------------------------------------------------------------------------------------

    def _results(self, more: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What is sent back until the call is over. It is ended where nobody waits for its end any more."""
        over = False
        try:
            while not over:
                frame = self._receive()
                if frame.kind is Kind.MORE:
                    batch = next(more, None)
                    self._send(pieces(Kind.END) if batch is None else rows_pieces(batch))
                elif frame.kind is Kind.SCHEMA:
                    self._schema = schema_in(frame)
                    self._plain = transport_schema(self._schema)
                elif frame.kind is Kind.ROWS:
                    yield rows_in(frame, self._plain)
                elif frame.kind is Kind.RAISED:
                    over = True
                    told = frame.told()
                    raise Trouble(told["kind"], told["message"], int(told["group"]))
                else:
                    over = True
        finally:
            if not over:
                self.close()

    def _send(self, parts: list[memoryview]) -> None:
        for part in parts:
            at = 0
            while at < part.nbytes:
                self._wait(select.POLLOUT)
                try:
                    at += self._socket.send(part[at:])
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._ended() from None

    def _receive(self) -> Frame:
        kind, head_size, body_size = HEAD.unpack(self._fill(memoryview(bytearray(HEAD.size))))
        head = bytes(self._fill(memoryview(bytearray(head_size))))
        body = memoryview(pa.allocate_buffer(body_size)).cast("B")
        return Frame(Kind(kind), head, self._fill(body))

    def _fill(self, view: memoryview) -> memoryview:
        at = 0
        while at < view.nbytes:
            self._wait(select.POLLIN)
            try:
                got = self._socket.recv_into(view[at:])
            except BlockingIOError:
                continue
            except OSError:
                raise self._ended() from None
            if not got:
                raise self._ended()
            at += got
        return view

    def _wait(self, events: int) -> None:
        """Until the socket is ready. Raises what makes going on pointless."""
        self._poll.modify(self._socket, events)
        while True:
            ready = self._poll.poll(LOOK * 1000)
            now = time.monotonic()
            if now - self._looked >= LOOK:
                self._looked = now
                self._look(now)
            if ready:
                return

    # -- watching ----------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        assert self._process is not None
        setup = self.setup
        used, _ = memory_of(self._process.pid)
        if setup.memory and used > setup.memory:
            raise self._end("memory", f"it uses {readable(used)} of memory, and has {readable(setup.memory)}")
        began, _ = PROGRESS.unpack_from(self._page)
        if setup.seconds and began and now - began / 1e9 > setup.seconds:
            raise self._end("time", f"it ran longer than {setup.seconds:g} s", asked=True)
        if self._deadline and now > self._deadline:
            raise self._end("load", f"it was not imported within {START_SECONDS:g} s", asked=True)
        if self._check is not None:
            try:
                self._check()
            except BaseException:
                self.close()
                raise

    def _end(self, kind: str, message: str, asked: bool = False) -> Trouble:
        """End the process for what it does. asked: have it say where it is first."""
        assert self._process is not None
        group = PROGRESS.unpack_from(self._page)[1]
        if asked:
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGUSR1)
            until = time.monotonic() + 0.5
            while not self._last_words() and time.monotonic() < until:
                time.sleep(0.01)
        frames = self._last_words()
        self._kill()
        self._tidy()
        if frames:
            message += "; it was at\n" + "\n".join(f"  {frame}" for frame in frames)
        return Trouble(kind, message, group)

    def _ended(self) -> Trouble:
        """The process is gone: why?"""
        assert self._process is not None
        process = self._process
        group = PROGRESS.unpack_from(self._page)[1]
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed its end of the socket, and lives
            self._kill()
            code = 0
        self._output.ended()
        frames = self._last_words()
        said = next((line for line in reversed(self._output.tail) if line.strip()), "")
        self._tidy()
        if code == OUT_OF_MEMORY:
            return Trouble("memory", f"its rows or its results do not fit into {readable(self.setup.memory)}", group)
        if code == -signal.SIGKILL:
            message = "its process was killed from outside, by the system if memory ran out"
            return Trouble("killed", message, group)
        if code < 0:
            message = f"its process was ended by {signal.Signals(-code).name}"
        else:
            message = f"its process left with exit code {code} in the middle of the call"
        if frames:
            message += "; it was at\n" + "\n".join(f"  {frame}" for frame in frames)
        elif said:
            message += f"; it last printed: {said[:300]}"
        return Trouble("crashed", message, group)

    def _last_words(self) -> list[str]:
        """The user's frames that the process wrote down when it crashed or was asked."""
        size = os.fstat(self._faults).st_size
        text = os.pread(self._faults, min(size, 1 << 16), 0).decode(errors="replace")
        return dumped(text, self.setup.places, self._package)

    # -- the process -------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        mine, its = socket.socketpair()
        page, self._faults = os.memfd_create("progress"), os.memfd_create("faults")
        os.ftruncate(page, mmap.PAGESIZE)
        reading, writing = os.pipe()
        try:
            self._process = _spawner.submit(
                subprocess.Popen,
                [sys.executable, "-P", "-m", "shuffle_worker.functions.child"]
                + [str(number) for number in (its.fileno(), page, self._faults, os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=(its.fileno(), page, self._faults),
                env=_environment(),
                start_new_session=True,
            ).result()
            self._page = mmap.mmap(page, mmap.PAGESIZE)
        except BaseException:
            os.close(reading)
            mine.close()
            raise
        finally:
            its.close()
            os.close(page)
            os.close(writing)
        mine.setblocking(False)
        self._socket = mine
        self._poll = select.poll()
        self._poll.register(mine)
        self._output = Output(reading, self.setup.function)
        self._schema = None
        self._looked = 0.0

    def _kill(self) -> None:
        """With everything that the function started."""
        assert self._process is not None
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _tidy(self) -> None:
        self._process = None
        self._socket.close()
        self._page.close()
        os.close(self._faults)


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
