"""Reads and writes stored chunks: one after the other on a disk, several at once where each is a request.

Memory: fetches at most `AHEAD` chunks ahead, and no more bytes than the given room.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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

    Reads local files into reused buffers, because touching fresh memory costs more than reading into it."""

    def __init__(self, storage: Storage, room: int) -> None:
        self._storage = storage
        self._room = room
        self._pool = None if isinstance(storage, LocalStorage) else ThreadPoolExecutor(AHEAD, "chunks")
        self._buffers = Buffers()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def read(self, paths: Sequence[str], each: int) -> Generator[FetchedFile | None]:
        """The files in order, None for one that is not there. Each is valid until the next one, or until the iterator
        is closed. each: the most bytes of a file."""
        if self._pool is None:
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

    def _local(self, path: str) -> Iterator[FetchedFile | None]:
        """Yields once. path: absolute, from `urls.local_path`."""
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - tens of thousands of small files
                about = os.fstat(file.fileno())
                size = about.st_size
                buffer = self._buffers.take(size)
                view = memoryview(buffer).cast("B")[:size]
                at = 0
                while at < size:
                    took = file.readinto(view[at:])
                    if not took:
                        raise DataError(f"{path}: became shorter while it was read")
                    at += took
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise failure(path, "reading", error) from error
        try:
            yield FetchedFile(view, tag_of(about))
        finally:
            self._buffers.give(buffer)

    def _one(self, path: str) -> FetchedFile | None:
        try:
            return FetchedFile(*self._storage.fetch(path))
        except InputNotFound:
            return None


class Writes:
    """Writes files in the background; `finish` waits for all of them. room: the most bytes that wait."""

    def __init__(self, storage: Storage, pool: ThreadPoolExecutor | None, room: int) -> None:
        self._storage = storage
        self._pool = pool
        self._room = room
        self._under_way: deque[tuple[int, Future[None]]] = deque()
        self._size = 0

    def put(self, path: str, data: bytes | memoryview) -> None:
        if self._pool is None:
            sink = self._storage.create(path)
            try:
                sink.write(data)
                sink.commit()
            except BaseException:
                sink.abort()
                raise
            return
        owned = bytes(data)
        while self._under_way and (self._size + len(owned) > self._room or len(self._under_way) >= AHEAD):
            self._wait()
        self._size += len(owned)
        self._under_way.append((len(owned), self._pool.submit(self._storage.put, path, owned)))

    def finish(self) -> None:
        while self._under_way:
            self._wait()

    def _wait(self) -> None:
        size, future = self._under_way.popleft()
        self._size -= size
        future.result()
