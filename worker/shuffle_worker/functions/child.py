"""The process that a function runs in: `python -P -m shuffle_worker.functions.child SOCKET PROGRESS FAULTS PARENT`.

`process.py` starts it with three inherited descriptors: a socket to talk over, a page of shared memory (`limits.py`),
and a file for its last words. These say where it was when it crashed, or when the worker asked (SIGUSR1) before ending
it. It imports the user's module, so it may do anything: block, exit, crash. It ends with its worker, however the worker
ends.

    given.py     the function's arguments
    blocks.py    blocks of arrays, given and returned
    results.py   collects and sends its results
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.functions import blocks
from shuffle_worker.functions.channel import Channel, Gone
from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.forms import GivenForm, NotGiven, form_of
from shuffle_worker.functions.given import groups_of
from shuffle_worker.functions.gpu import need_gpu
from shuffle_worker.functions.limits import OUT_OF_MEMORY, Progress, end_with, last_to_live, limit_memory
from shuffle_worker.functions.load import find_in, load_function, no_library
from shuffle_worker.functions.results import ResultSender
from shuffle_worker.functions.shapes import LIBRARY, ON_GPU, Shape, shape_of, takes_block
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.functions.tracebacks import told
from shuffle_worker.functions.wire import Message, MessageKind, pieces, rows_in, schema_in
from shuffle_worker.runtime.heap import keep_freed_memory


class Failed(Exception):
    """The call gave no result; the worker gets the message. group: None for the group of the last call."""

    def __init__(self, kind: str, message: str, group: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.group = group


class Child:
    def __init__(self, line: Channel, progress: Progress) -> None:
        self._line = line
        self._progress = progress
        self._places: list[ImportPath] = []
        self._package = ""
        self._function: Callable[..., Any] = lambda rows: rows
        self._shape = Shape.TABLE
        self._informed = False  # the function is told where its block lies
        self._form: GivenForm | None = None
        self._schema = pa.schema([])  # of the incoming rows
        self._rows: list[pa.RecordBatch] = []
        self._results = ResultSender(line.send, None)

    def serve(self) -> None:
        while True:
            frame = self._line.receive()
            try:
                self._obey(frame)
            except Failed as failure:
                self._results.drop()
                group = self._progress.group if failure.group is None else failure.group
                said = {"kind": failure.kind, "message": _plain(str(failure)), "group": group}
                self._line.send(pieces(MessageKind.RAISED, said))
            self._progress.end()  # not if the process is about to end: then the worker looks where it was
            if frame.kind in (MessageKind.CALL, MessageKind.STREAM):
                self._rows.clear()
            del frame

    def _obey(self, frame: Message) -> None:
        if frame.kind is MessageKind.ROWS:
            self._rows.append(rows_in(frame, self._schema))
        elif frame.kind is MessageKind.SCHEMA:
            self._schema = schema_in(frame)
        elif frame.kind is MessageKind.CALL:
            self._call(np.frombuffer(frame.body, np.int64))
        elif frame.kind is MessageKind.STREAM:
            self._stream()
        elif frame.kind is MessageKind.BLOCK:
            self._block(frame)
        elif frame.kind is MessageKind.READ:
            self._read(frame.told())
        elif frame.kind is MessageKind.LOAD:
            self._load(frame.told())

    # -- loading -----------------------------------------------------------------------------------------------------

    def _load(self, head: dict[str, Any]) -> None:
        """head: function, places and limit; wanted: the next schema is that of the results; reader: it reads files."""
        self._places = [msgspec.convert(place, ImportPath) for place in head["places"]]
        name = str(head["function"])
        self._package = name.partition(":")[0].partition(".")[0]
        find_in(self._places)
        try:
            self._function = load_function(name, self._places)
            if head["blocks"]:
                self._informed = takes_block(self._function, name, blocks.INFO)
                if head["gpu"]:
                    need_gpu(f"{name}: backend is Gpu")
            else:
                self._take_shape(name, reader=bool(head["reader"]), gpu=bool(head["gpu"]))
        except InvalidSpec as error:
            raise Failed("load", error.message) from error
        if head["wanted"]:
            self._results = ResultSender(self._line.send, schema_in(self._line.receive()))
        keep_freed_memory()
        gc.freeze()  # objects of the imports live as long as the process
        on_gpu = head["gpu"] or self._shape in ON_GPU  # CUDA reserves far more addresses than it uses memory
        free = limit_memory(int(head["limit"]), hard=not on_gpu)
        self._line.send(pieces(MessageKind.LOADED, {"shape": self._shape.value, "free": free}))

    def _take_shape(self, name: str, *, reader: bool, gpu: bool) -> None:
        """Find out what the function takes, and import what that needs now, so that its memory does not count as the
        function's. Raises InvalidSpec."""
        if not reader:
            self._shape = shape_of(self._function, name, Shape.CUDF if gpu else Shape.TABLE)
        if gpu or self._shape in ON_GPU:
            need_gpu(f"{name}: is given {self._shape}" if self._shape in ON_GPU else f"{name}: backend is Gpu")
        try:
            self._form = form_of(self._shape, gpu)
            if self._form is not None:
                self._form.whole(pa.table({"a": pa.array([1])}))  # a GPU is set up by its first use
        except ImportError as error:
            library = LIBRARY.get(self._shape, "numpy")
            raise InvalidSpec(f"{name}: is given {self._shape}, and {no_library(library, error)}") from error
        except NotGiven as error:
            raise InvalidSpec(f"{name}: is given {self._shape}, and even a number becomes none: {error}") from error

    # -- calling -----------------------------------------------------------------------------------------------------

    def _call(self, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Call the function for each group. The rows that came are groups, one behind the other."""
        begins = [0, *ends[:-1].tolist()]
        groups = groups_of(self._shape, self._form, self._schema, self._rows, begins, ends.tolist())
        function, begin, end_forked, add = (
            self._function, self._progress.begin, self._line.end_forked, self._results.add,
        )  # fmt: skip
        with self._failures():  # of the group that `progress` says
            for group in range(len(ends)):
                begin(group)  # before its rows are converted, which may fail too
                rows = next(groups)
                result = function(rows)
                end_forked()
                add(result, group)
                del rows, result
        self._finish()

    def _stream(self) -> None:
        """Call the function for one group whose batches it asks for one by one."""
        self._progress.begin(0)
        batches: Iterator[pa.RecordBatch] = self._asked()
        given = pa.RecordBatchReader.from_batches(self._schema, batches) if self._shape is Shape.READER else batches
        self._run(self._function, given)
        for _ in batches:  # batches that the function did not take: the worker must get to the end
            pass
        self._finish()

    def _asked(self) -> Iterator[pa.RecordBatch]:
        while True:
            self._progress.end()  # waiting for the worker does not count as the function's time
            self._line.send(pieces(MessageKind.MORE))
            frame = self._line.receive()
            self._progress.begin(0)
            if frame.kind is MessageKind.END:
                return
            yield rows_in(frame, self._schema)

    def _read(self, head: dict[str, Any]) -> None:
        """Call a reader with a path and the columns wanted (None: all). It yields tables."""
        self._progress.begin(0)
        self._run(self._function, head["path"], head["columns"])
        self._finish()

    def _block(self, frame: Message) -> None:
        """Call the function for a block, and send what it returned."""
        self._progress.begin(0)
        head = frame.told()
        more = {blocks.INFO: blocks.info(head)} if self._informed else {}
        with self._failures():
            result = self._function(blocks.given(head, frame.body), **more)
            self._line.end_forked()
            kept = blocks.kept(result, head)
        self._progress.end()
        self._line.send(pieces(MessageKind.BLOCK, {"dtype": kept.dtype.str}, kept.reshape(-1).view(np.uint8).data))

    def _run(self, function: Callable[..., object], *arguments: object, group: int = 0) -> None:
        """Call the function and collect what it returns."""
        with self._failures():
            result = function(*arguments)
            self._line.end_forked()
            self._results.add(result, group)

    def _finish(self) -> None:
        with self._failures():
            self._results.flush()
        self._progress.end()
        self._line.send(pieces(MessageKind.DONE))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns errors of the function or of its results into `Failed`."""
        try:
            yield
        except Gone:
            raise
        except Differs as error:
            raise Failed("differs", str(error), self._results.group) from error
        except NotGiven as error:
            raise Failed("given", str(error)) from error
        except MemoryError as error:  # Arrow's too
            raise Failed("memory", self._told(error), self._results.group) from error
        except BaseException as error:  # sys.exit() too
            self._line.end_forked()
            raise Failed("raised", self._told(error), self._results.group) from error

    def _told(self, error: BaseException) -> str:
        """The error for people. Even formatting it may run the user's code, and fail."""
        try:
            return told(error, self._places, self._package)
        except BaseException:
            return type(error).__name__


def _plain(text: str) -> str:
    """The text in a form that can be sent, without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


# -- the process -----------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    line, progress, faults, parent = map(int, arguments)
    end_with(parent)
    last_to_live()
    faulthandler.enable(faults, all_threads=False)
    faulthandler.register(signal.SIGUSR1, faults, all_threads=False)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with suppress(Gone):
        Child(Channel(line), Progress(progress)).serve()


def run(arguments: list[str]) -> int:
    """Returns the exit code."""
    try:
        main(arguments)
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:  # a defect of ours, for the log
        traceback.print_exc()
        return 70
    return 0


if __name__ == "__main__":
    code = run(sys.argv[1:])
    with suppress(ValueError, OSError):  # the function may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # threads that the function left running may not keep this process alive
