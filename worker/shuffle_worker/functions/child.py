"""The process that a function runs in: `python -P -m shuffle_worker.functions.child SOCKET PROGRESS FAULTS PARENT`.

Started by `host.py`, which gives it a socket to speak over, a page of shared memory, and a file for its last words; all
three are inherited descriptors. It imports the user's module, so it may do anything: block, leave, crash. What it tells
the worker on its own:

    progress   when the call that it is in began, and which group that is: the worker keeps the time limit by it, and
               knows the group even if nothing else is ever heard again
    faults     where it was when it crashed, or when it was asked (SIGUSR1) before it is ended

It is ended with its worker, however that ends. Memory: `limit_memory` makes an allocation beyond its share fail, which
a function sees as MemoryError; the worker ends it where that is got around.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.functions.conform import Differs, conformed, tables_of
from shuffle_worker.functions.load import find_in, load_function
from shuffle_worker.functions.shapes import Shape, shape_of
from shuffle_worker.functions.sources import Place
from shuffle_worker.functions.tracebacks import told
from shuffle_worker.functions.wire import HEAD, Frame, Kind, pieces, rows_in, rows_pieces, schema_in, schema_pieces
from shuffle_worker.heap import keep_freed_memory
from shuffle_worker.partitioning.columns import concat
from shuffle_worker.plan.schema import convert, transport_schema

PROGRESS = struct.Struct("<qq")
"""Nanoseconds of the monotonic clock when the call began, 0 between calls; the number of the group."""

SEND_BYTES = 2 << 20
"""Results are gathered up to this size, and larger ones cut to it."""

FEW_ROWS = 64
"""Results of fewer rows are taken to be as wide as those before."""

OUT_OF_MEMORY = 71
"""Exit code where memory ended outside the function: while its rows were taken, or its results sent."""

_PR_SET_PDEATHSIG = 1


class Gone(Exception):
    """The worker is not there any more."""


class Line:
    """The child's end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, parts: list[memoryview]) -> None:
        try:
            for part in parts:
                self._socket.sendall(part)
        except OSError as error:
            raise Gone from error

    def receive(self) -> Frame:
        kind, head_size, body_size = HEAD.unpack(self._exactly(HEAD.size))
        head = self._exactly(head_size)
        body = pa.allocate_buffer(body_size)
        view = memoryview(body).cast("B")
        at = 0
        while at < body_size:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise Gone
            at += got
        return Frame(Kind(kind), head, view)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise Gone
            data += more
        return data


class Progress:
    """What the worker can see of this process without asking."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    @property
    def group(self) -> int:
        return int(PROGRESS.unpack_from(self._page)[1])

    def begin(self, group: int) -> None:
        PROGRESS.pack_into(self._page, 0, time.monotonic_ns(), group)

    def end(self) -> None:
        PROGRESS.pack_into(self._page, 0, 0, -1)


class Failed(Exception):
    """The call did not give a result: what to tell the worker."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Child:
    def __init__(self, line: Line, progress: Progress) -> None:
        self._line = line
        self._progress = progress
        self._places: list[Place] = []
        self._package = ""
        self._function: Callable[..., Any] = lambda rows: rows
        self._shape = Shape.TABLE
        self._schema = pa.schema([])  # of the rows that come
        self._wanted: pa.Schema | None = None  # of the results, where that is known
        self._sent: pa.Schema | None = None
        self._rows: list[pa.RecordBatch] = []
        self._held: list[pa.Table] = []  # results that wait to be worth a frame
        self._held_bytes = 0.0
        self._row_bytes = 256.0  # of the results that were sent last

    def serve(self) -> None:
        while True:
            frame = self._line.receive()
            try:
                self._obey(frame)
            except Failed as failure:
                self._held.clear()
                self._held_bytes = 0
                told = {"kind": failure.kind, "message": str(failure), "group": self._progress.group}
                self._line.send(pieces(Kind.RAISED, told))
            finally:
                self._progress.end()
                if frame.kind in (Kind.CALL, Kind.STREAM):
                    self._rows.clear()
            del frame

    def _obey(self, frame: Frame) -> None:
        if frame.kind is Kind.ROWS:
            self._rows.append(rows_in(frame, self._schema))
        elif frame.kind is Kind.SCHEMA:
            self._schema = schema_in(frame)
        elif frame.kind is Kind.CALL:
            self._call(np.frombuffer(frame.body, np.int64))
        elif frame.kind is Kind.STREAM:
            self._stream()
        elif frame.kind is Kind.READ:
            self._read(frame.told())
        elif frame.kind is Kind.LOAD:
            self._load(frame.told())

    # -- loading -----------------------------------------------------------------------------------------------------

    def _load(self, head: dict[str, Any]) -> None:
        """function, places, limit; wanted: whether the next schema is that of the results; reader: not a table's."""
        self._places = [msgspec.convert(place, Place) for place in head["places"]]
        name = str(head["function"])
        self._package = name.partition(":")[0].partition(".")[0]
        find_in(self._places)
        try:
            self._function = load_function(name, self._places)
            if not head["reader"]:
                self._shape = shape_of(self._function, name)
        except InvalidSpec as error:
            raise Failed("load", error.message) from error
        if self._shape is Shape.FRAME:
            importlib.import_module("pandas")  # now, so that its memory is not taken for the function's
        if head["wanted"]:
            self._wanted = schema_in(self._line.receive())
        keep_freed_memory()
        gc.freeze()  # what the imports made stays for good
        free = limit_memory(int(head["limit"]))
        self._line.send(pieces(Kind.LOADED, {"shape": self._shape.value, "free": free}))

    # -- calling -----------------------------------------------------------------------------------------------------

    def _call(self, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """The rows that came are groups, one after the other."""
        begins = [0, *ends[:-1].tolist()]
        for group, rows in enumerate(self._groups(begins, ends.tolist())):
            self._progress.begin(group)
            self._run(self._function, rows)
            del rows
        self._finish()

    def _groups(self, begins: list[int], ends: list[int]) -> Iterator[Any]:
        """What the function is given for each group. Several groups are in one batch; one may be in many."""
        batches = self._rows
        if len(ends) > 1 or len(batches) == 1:
            (batch,) = batches
            if self._shape is Shape.FRAME and _alike(batch):
                yield from _frames(batch, begins, ends)
                return
            for begin, end in zip(begins, ends, strict=True):
                yield self._shaped([batch.slice(begin, end - begin)])
        else:
            yield self._shaped(batches)

    def _shaped(self, batches: list[pa.RecordBatch]) -> Any:
        if self._shape is Shape.BATCH:
            return batches[0] if len(batches) == 1 else concat(batches)
        if self._shape is Shape.BATCHES:
            return iter(batches)
        if self._shape is Shape.READER:
            return pa.RecordBatchReader.from_batches(self._schema, batches)
        table = pa.Table.from_batches(batches, schema=self._schema)
        return table.to_pandas() if self._shape is Shape.FRAME else table

    def _stream(self) -> None:
        """One group, whose batches are asked for one by one."""
        self._progress.begin(0)
        batches: Iterator[pa.RecordBatch] = self._asked()
        given = pa.RecordBatchReader.from_batches(self._schema, batches) if self._shape is Shape.READER else batches
        self._run(self._function, given)
        for _ in batches:  # what the function did not want: the worker must come to the end of it
            pass
        self._finish()

    def _asked(self) -> Iterator[pa.RecordBatch]:
        while True:
            self._progress.end()  # waiting for the worker is not the function's time
            self._line.send(pieces(Kind.MORE))
            frame = self._line.receive()
            self._progress.begin(0)
            if frame.kind is Kind.END:
                return
            yield rows_in(frame, self._schema)

    def _read(self, head: dict[str, Any]) -> None:
        """A reader: called with a path and the columns wanted (None for all); gives tables."""
        self._progress.begin(0)
        self._run(self._function, head["path"], head["columns"])
        self._finish()

    def _run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function and send what it returns."""
        try:
            for table in tables_of(function(*arguments), self._wanted):
                self._give(table if self._wanted is None else conformed(table, self._wanted))
        except Gone:
            raise
        except Differs as error:
            raise Failed("differs", str(error)) from error
        except MemoryError as error:  # Arrow's too
            raise Failed("memory", told(error, self._places, self._package)) from error
        except BaseException as error:  # sys.exit() is no way out of here either
            raise Failed("raised", told(error, self._places, self._package)) from error

    # -- results -----------------------------------------------------------------------------------------------------

    def _give(self, table: pa.Table) -> None:
        if self._sent is None or not table.schema.equals(self._sent):
            self._flush()
            self._sent = table.schema
            self._line.send(schema_pieces(table.schema))
        self._held.append(table)
        if table.num_rows < FEW_ROWS:  # to measure each would cost more than all the rest
            self._held_bytes += table.num_rows * self._row_bytes
        else:
            self._held_bytes += table.nbytes
        if self._held_bytes >= SEND_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held.clear()
        self._held_bytes = 0
        self._row_bytes = table.nbytes / max(table.num_rows, 1)
        rows = max(1, int(SEND_BYTES / max(self._row_bytes, 1)))
        plain = transport_schema(table.schema)
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows).combine_chunks()
            for batch in part.to_batches():
                columns = [convert(column, field.type) for column, field in zip(batch.columns, plain, strict=True)]
                self._line.send(rows_pieces(pa.RecordBatch.from_arrays(columns, schema=plain)))

    def _finish(self) -> None:
        self._flush()
        self._progress.end()
        self._line.send(pieces(Kind.DONE))


def _alike(batch: pa.RecordBatch) -> bool:
    """Whether a whole batch made a data frame has the columns that each of its groups would have alone: numbers and
    booleans without nulls (with one they become floats and objects), times, and text."""
    types = pa.types
    for column in batch.columns:
        kind = column.type
        plain = types.is_integer(kind) or types.is_boolean(kind)
        if not (
            (plain and not column.null_count)
            or types.is_floating(kind)
            or types.is_timestamp(kind)
            or types.is_string(kind)
            or types.is_large_string(kind)
        ):
            return False
    return True


def _frames(batch: pa.RecordBatch, begins: list[int], ends: list[int]) -> Iterator[Any]:
    """The groups of a batch as data frames, converted together: ten times as fast where groups are small."""
    whole = pa.Table.from_batches([batch]).to_pandas()
    for begin, end in zip(begins, ends, strict=True):
        frame = whole.iloc[begin:end].copy()
        yield frame.reset_index(drop=True)


# -- the process -----------------------------------------------------------------------------------------------------


def limit_memory(limit: int) -> int:
    """Let allocations fail that would bring this process beyond `limit` bytes of memory of its own, 0 for no limit;
    returns how many are left. What the interpreter and the libraries have taken so far counts, what they only reserved
    does not."""
    pa.default_memory_pool().release_unused()
    if not limit:
        return 1 << 62
    used, reserved = memory_of("self")
    free = max(limit - used, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (reserved + free, resource.RLIM_INFINITY))
    return free


def memory_of(pid: int | str) -> tuple[int, int]:
    """Bytes of memory that a process has to itself, and bytes that it reserved; (0, 0) where it is gone."""
    used = reserved = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                used += int(line.split()[1]) * 1024
            elif line.startswith("VmData:"):
                reserved = int(line.split()[1]) * 1024
    return used, reserved


def end_with(parent: int) -> None:
    """The kernel ends this process when the thread that started it is gone (see `host._spawner`); at once where that is
    so already."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: list[str]) -> None:
    line, progress, faults, parent = map(int, arguments)
    end_with(parent)
    with suppress(OSError):  # if memory runs out on the machine, this process goes first, not the worker
        Path("/proc/self/oom_score_adj").write_text("1000")
    faulthandler.enable(faults, all_threads=False)
    faulthandler.register(signal.SIGUSR1, faults, all_threads=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with suppress(Gone):
        Child(Line(line), Progress(progress)).serve()


def run(arguments: list[str]) -> int:
    """Returns the exit code."""
    try:
        main(arguments)
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:  # a defect of ours, told in the log
        traceback.print_exc()
        return 70
    return 0


if __name__ == "__main__":
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing that the function left running may keep this process
