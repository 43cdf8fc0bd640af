"""Reads and writes stored chunks: one after the other on a disk, several at once where each is a request.

Memory: fetches at most `AHEAD` chunks ahead, and no more bytes than the given room.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import NamedTuple

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_worker.steps.readback import Buffers
from shuffle_worker.storage import LocalStorage, Storage
from shuffle_worker.storage.failures import failure
from shuffle_worker.storage.walk import tag_of

AHEAD = 16
"""The most requests at once, if memory allows."""


Bytes = bytes | memoryview


class FetchedFile(NamedTuple):
    """A file's bytes."""

    data: Bytes
    tag: str
    """The tag as in `Info`; "" if the store does not send it with the bytes."""


class Fetcher:
    """Reads and writes files of a storage. room: the most bytes under way. Close it.

    Reads local files into reused buffers, because touching fresh memory costs more than reading into it. buffers: those
    that it shares with others."""

    def __init__(self, storage: Storage, room: int, buffers: Buffers | None = None) -> None:
        self._storage = storage
        self._room = room
        self.local = isinstance(storage, LocalStorage)
        """Whether its files are local ones."""
        self._pool = ThreadPoolExecutor(1 if self.local else AHEAD, "chunks")
        self._buffers = buffers or Buffers()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def read(self, paths: Sequence[str], each: int) -> Generator[FetchedFile | None]:
        """The files in order, None for one that is not there. Each is valid until the next one, or until the iterator
        is closed. each: the most bytes of a file."""
        if self.local:
            for path in paths:
                yield from self._local(path)
            return
        ahead = max(1, min(AHEAD, self._room // max(each, 1)))
        under_way: deque[Future[FetchedFile | None]] = deque()
        try:
            for path in paths:
                if len(under_way) >= ahead:
                    yield under_way.popleft().result()
                under_way.append(self._pool.submit(self._one, path))
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    def writes(self) -> Writes:
        return Writes(self._storage, self._pool, self._room)

    def read_into(self, path: str, into: memoryview) -> str | None:
        """Read a local file to where its bytes are needed. Returns its tag; None if it is not there. Raises ValueError
        if it is not as large as `into`. path: absolute, from `urls.local_path`."""
        with _opened(path) as (file, about):
            if about is None:
                return None
            if about.st_size != into.nbytes:
                raise ValueError(f"it has {about.st_size:,} bytes instead of {into.nbytes:,}")
            _fill(file, into, path)
            return tag_of(about)

    def _local(self, path: str) -> Iterator[FetchedFile | None]:
        """Yields once. path: absolute, from `urls.local_path`."""
        with _opened(path) as (file, about):
            if about is not None:
                buffer = self._buffers.take(about.st_size)
                view = memoryview(buffer).cast("B")[: about.st_size]
                _fill(file, view, path)
        if about is None:
            yield None
            return
        try:
            yield FetchedFile(view, tag_of(about))
        finally:
            self._buffers.give(buffer)

    def _one(self, path: str) -> FetchedFile | None:
        try:
            return FetchedFile(*self._storage.fetch(path))
        except InputNotFound:
            return None


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, os.stat_result | None]]:
    """A local file: its descriptor, and what the system says of it; None if it is not there. Plain calls of the system:
    there may be tens of thousands of small files."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield -1, None
        return
    except OSError as error:
        raise failure(path, "reading", error) from error
    try:
        yield file, os.fstat(file)
    except OSError as error:
        raise failure(path, "reading", error) from error
    finally:
        os.close(file)


def _fill(file: int, into: memoryview, path: str) -> None:
    at = 0
    while at < into.nbytes:
        took = os.readv(file, [into[at:]])
        if not took:
            raise DataError(f"{path}: became shorter while it was read")
        at += took


class Writes:
    """Writes files of one lease in the background; `finish` waits for all of them. room: the most bytes of copies that
    wait. What a disk takes from where it lies in memory is not copied: it must stay there until `finish` returns."""

    def __init__(self, storage: Storage, pool: ThreadPoolExecutor, room: int) -> None:
        self._storage = storage
        self._pool = pool
        self._room = room
        self._under_way: deque[tuple[int, Future[None]]] = deque()
        self._size = 0
        self._over: list[Callable[[], None]] = []

    def put(self, path: str, data: bytes | memoryview) -> None:
        if isinstance(self._storage, LocalStorage):
            if self._storage.takes(data):
                self._under_way.append((0, self._pool.submit(self._storage.put, path, data)))
            else:
                self._storage.put(path, data)
            return
        owned = bytes(data)
        while self._under_way and (self._size + len(owned) > self._room or len(self._under_way) >= AHEAD):
            self._wait()
        self._size += len(owned)
        self._under_way.append((len(owned), self._pool.submit(self._storage.put, path, owned)))

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call this when nothing that was put is needed any more: at once, or in `finish`."""
        if self._under_way:
            self._over.append(call)
        else:
            call()

    def released(self) -> None:
        """Wait until what was put may be overwritten. Raises as `finish` does."""
        if isinstance(self._storage, LocalStorage):
            self.finish()

    def finish(self) -> None:
        """Raises the error of the first write that failed. Call it again where something else failed: it does nothing
        twice."""
        try:
            while self._under_way:
                self._wait()
        finally:
            for _, future in self._under_way:
                future.cancel()
            wait([future for _, future in self._under_way])
            self._under_way.clear()
            over, self._over = self._over, []
            for call in over:
                call()

    def _wait(self) -> None:
        size, future = self._under_way.popleft()
        self._size -= size
        future.result()
