"""The worker's side of a function: feeds its process, watches its memory and time, survives its end.

Compute threads call it. Every call blocks until the process answers or ends, or the lease is taken away. While it waits
it checks every `LOOK` seconds that the process keeps to its memory and time and that the lease is still held. If not,
it ends the process, and the next call starts another.

Buffers: one frame to send (a load of rows, see `steps/grouping.py`) and one received (`results.SEND_BYTES`, or one row
if that is larger).
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.units import readable
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.functions.limits import OUT_OF_MEMORY
from shuffle_worker.functions.process import Process
from shuffle_worker.functions.shapes import Shape
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.functions.tracebacks import dumped
from shuffle_worker.functions.wire import (
    HEAD,
    MOST_BODY,
    Garbled,
    Message,
    MessageKind,
    pieces,
    rows_in,
    rows_pieces,
    schema_in,
    schema_pieces,
    sizes_in,
)

LOOK = 0.05
START_SECONDS = 120.0
"""Seconds for the process to start and to import the user's module."""

Check = Callable[[], None]
"""Raises if the lease was taken away. Where none is taken away there is no such check: a worker that leaves
ends the processes of its functions (`process.end_all`)."""


class Trouble(Exception):
    """A call that gave no result. message: a sentence, and perhaps frames. group: the call's group that it was at; -1
    if that is not known. kind:

        load      the function could not be imported, or cannot be called with a table
        given     a group cannot have the shape that the function asks for
        raised    the function raised, sys.exit() included
        differs   its result is not what was declared
        memory    the function or its rows need more memory than there is
        time      a call took too long
        crashed   the process ended by itself, or by a signal of its own
        killed    the process was ended from outside
    """

    def __init__(self, kind: str, message: str, group: int = -1) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.group = group


class Setup(NamedTuple):
    """What every process of one function gets."""

    function: str
    places: Sequence[ImportPath]
    rows: pa.Schema
    """The schema of the groups."""
    wanted: pa.Schema | None
    """The schema of the results (a transport schema); None: any."""
    memory: int
    """Bytes that the process may use."""
    seconds: float
    """Seconds for one call; 0: no limit."""
    reader: bool = False
    blocks: bool = False
    """It takes blocks of arrays."""
    gpu: bool = False
    """The function is given what is on the GPU, where its annotation leaves that open; there must be one."""


class Host:
    """One process. One thread at a time uses it."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.shape = Shape.TABLE
        self.free = 0
        """Bytes for the function and its rows."""
        self._package = setup.function.partition(":")[0].partition(".")[0]
        self._process: Process | None = None
        self._poll: select.poll
        self._schema: pa.Schema | None = None
        self._plain = pa.schema([])
        self._check: Check | None
        self._deadline = 0.0
        self._looked = 0.0

    # -- calls -------------------------------------------------------------------------------------------------------

    def start(self, check: Check | None = None) -> None:
        """Start the process and have it import the function, if that is not done yet. Raises Trouble."""
        if self._process is not None and self._process.over:
            self.close()  # it ended between two calls
        if self._process is not None:
            return
        self._process = Process(self.setup.function)
        self._poll = select.poll()
        self._poll.register(self._process.socket)
        self._schema = None
        self._looked = 0.0
        setup = self.setup
        self._check, self._deadline = check, time.monotonic() + START_SECONDS
        places = [list(place) for place in setup.places]
        head = {
            "function": setup.function,
            "places": places,
            "limit": setup.memory,
            "wanted": setup.wanted is not None,
            "reader": setup.reader,
            "blocks": setup.blocks,
            "gpu": setup.gpu,
        }
        self._send(pieces(MessageKind.LOAD, head))
        if setup.wanted is not None:
            self._send(schema_pieces(setup.wanted))
        try:
            frame = self._receive()
            if frame.kind is not MessageKind.LOADED:
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
        check: Check | None,
    ) -> Iterator[pa.RecordBatch]:
        """Call the function once for each group, and yield its results in the order of the groups.

        batches: the rows of the groups, one behind the other; several groups must lie in one batch. ends: the row
        behind each group; None: all rows are one group."""
        self.start(check)
        self._check = check
        rows = 0
        try:
            for batch in batches:
                self._send(rows_pieces(batch))
                rows += batch.num_rows
        except BaseException:
            self.close()  # it has rows of a call that will not come
            raise
        if ends is None:
            ends = [rows]
        self._send(pieces(MessageKind.CALL, None, np.ascontiguousarray(ends, np.int64)))  # type: ignore[arg-type]
        yield from self._results(iter(()))

    def stream(self, batches: Iterator[pa.RecordBatch], check: Check | None) -> Iterator[pa.RecordBatch]:
        """Call the function for one group, and send the batches as the function asks for them."""
        self.start(check)
        self._check = check
        self._send(pieces(MessageKind.STREAM))
        yield from self._results(batches)

    def read(self, path: str, columns: Sequence[str] | None, check: Check | None) -> Generator[pa.RecordBatch]:
        """Call a reader for a path, and yield the batches of its tables."""
        self.start(check)
        self._check = check
        self._send(pieces(MessageKind.READ, {"path": path, "columns": None if columns is None else list(columns)}))
        yield from self._results(iter(()))

    def block(self, head: dict[str, Any], block: memoryview, check: Check | None) -> Message:
        """Call the function for a block of an array (`blocks.py`). Returns the frame of what it returned."""
        self.start(check)
        self._check = check
        over = False
        try:
            self._send(pieces(MessageKind.BLOCK, head, block))
            frame = self._receive()
            over = frame.kind in (MessageKind.RAISED, MessageKind.BLOCK)
        finally:
            if not over:
                self.close()
        if frame.kind is MessageKind.BLOCK:
            return frame
        told = frame.told()
        raise Trouble(told.get("kind", "crashed"), told.get("message", "it wrote to the worker's socket"), 0)

    @property
    def schema(self) -> pa.Schema | None:
        """The schema of the last results, as the function returned them; None before the first."""
        return self._schema

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._open.pid

    @property
    def group(self) -> int:
        """The call's group that the function is at; -1 between calls."""
        return self._process.call[1] if self._process is not None else -1

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    @property
    def _open(self) -> Process:
        assert self._process is not None
        return self._process

    # -- frames ------------------------------------------------------------------------------------------------------

    def _results(self, more: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The results until the call is over. Ends the process if the caller stops before that."""
        over = False
        try:
            while not over:
                frame = self._receive()
                if frame.kind is MessageKind.MORE:
                    batch = next(more, None)
                    self._send(pieces(MessageKind.END) if batch is None else rows_pieces(batch))
                elif frame.kind is MessageKind.SCHEMA:
                    self._schema = schema_in(frame)
                    self._plain = transport_schema(self._schema)
                elif frame.kind is MessageKind.ROWS:
                    yield rows_in(frame, self._plain)
                elif frame.kind is MessageKind.RAISED:
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
                    at += self._open.socket.send(part[at:])
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._ended() from None

    def _receive(self) -> Message:
        begins = self._fill(memoryview(bytearray(HEAD.size)))
        try:
            sizes = sizes_in(begins, self.setup.memory or MOST_BODY)  # a body was in the memory of the process
        except Garbled as error:
            raise self._end("crashed", f"{error}: something in its process wrote to the worker's socket") from None
        head = bytes(self._fill(memoryview(bytearray(sizes.head))))
        body = memoryview(pa.allocate_buffer(sizes.body)).cast("B")
        return Message(sizes.kind, head, self._fill(body))

    def _fill(self, view: memoryview) -> memoryview:
        at = 0
        while at < view.nbytes:
            self._wait(select.POLLIN)
            try:
                got = self._open.socket.recv_into(view[at:])
            except BlockingIOError:
                continue
            except OSError:
                raise self._ended() from None
            if not got:
                raise self._ended()
            at += got
        return view

    def _wait(self, events: int) -> None:
        """Wait until the socket is ready. Raises if the process or the lease does not go on."""
        self._poll.modify(self._open.socket, events)
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
        setup, process = self.setup, self._open
        used = process.memory
        if setup.memory and used > setup.memory:
            raise self._end("memory", f"it uses {readable(used)} of memory, and has {readable(setup.memory)}")
        began, _ = process.call
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
        """End the process because of what it does. asked: let it write down first where it is."""
        _, group = self._open.call
        frames = self._frames(self._open.last_words(asked))
        self.close()
        return Trouble(kind, message + frames, group)

    def _ended(self) -> Trouble:
        """Why the process is gone."""
        process = self._open
        _, group = process.call
        code = process.exit_code()
        frames, said = self._frames(process.last_words()), process.last_line()
        self.close()
        if code == OUT_OF_MEMORY:
            return Trouble("memory", f"its rows or its results do not fit into {readable(self.setup.memory)}", group)
        if code == -signal.SIGKILL:
            message = "its process was killed from outside, by the system if memory ran out"
            return Trouble("killed", message, group)
        if code < 0:
            message = f"its process was ended by {_name_of(-code)}"
        else:
            message = f"its process left with exit code {code} in the middle of the call"
        if said and not frames:
            message += f"; it last printed: {said[:300]}"
        return Trouble("crashed", message + frames, group)

    def _frames(self, words: str) -> str:
        """Where the user's code was: the end of a message."""
        frames = dumped(words, self.setup.places, self._package)
        return "; it was at\n" + "\n".join(f"  {frame}" for frame in frames) if frames else ""


def _name_of(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")
