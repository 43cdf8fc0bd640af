"""Our storage as a store that Zarr can read, and a way to run Zarr's codecs in the calling thread.

Zarr's own stores have clients, retries and errors of their own. This one uses `Storage`: the same endpoints,
credentials, retries and messages as for tables. Zarr is asynchronous throughout, so each compute thread runs its
coroutines on a small event loop of its own. The loop's executor is the same thread: a lease computes one thing at a
time, within its memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from shuffle_protocol.errors import InputNotFound
from shuffle_worker.storage import FsspecStorage, LocalStorage, Storage, urls

T = TypeVar("T")


class _Inline(ThreadPoolExecutor):
    """An executor that runs each call at once, in the calling thread."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Codecs:
    """Runs Zarr's coroutines in the calling thread, with one event loop for each thread. Close it."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._loops: list[asyncio.AbstractEventLoop] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        loop: asyncio.AbstractEventLoop | None = getattr(self._local, "loop", None)
        if loop is None:
            loop = asyncio.new_event_loop()
            loop.set_default_executor(_Inline())
            self._local.loop = loop
            self._loops.append(loop)
        return loop.run_until_complete(work)

    def close(self) -> None:
        for loop in self._loops:
            loop.close()
        self._loops.clear()


class StorageStore(Store):
    """A folder of our storage, read-only. Keys are paths below it."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, storage: Storage, folder: str) -> None:
        super().__init__(read_only=True)
        self._storage = storage
        self._folder = folder.rstrip("/")
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageStore) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def __str__(self) -> str:
        return self._folder

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        from zarr.core.buffer import default_buffer_prototype

        data = read_file(self._storage, f"{self._folder}/{key}", byte_range)
        if data is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        try:
            self._storage.info(f"{self._folder}/{key}")
        except InputNotFound:
            return False
        return True

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError("this store is for reading")

    async def delete(self, key: str) -> None:
        raise NotImplementedError("this store is for reading")

    async def list(self) -> AsyncIterator[str]:
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        below = f"{self._folder}/"
        for info in self._storage.listing(f"{below}{prefix}".rstrip("/")):
            yield info.path.partition(below)[2] or info.path

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for name in children(self._storage, f"{self._folder}/{prefix}".rstrip("/")):
            yield name


def read_file(storage: Storage, path: str, part: ByteRequest | None = None) -> bytes | None:
    """A file, or some of its bytes; None if there is no such file."""
    try:
        if part is None:
            return storage.read(path)
        size = storage.info(path).size
        if isinstance(part, RangeByteRequest):
            start, stop = part.start, min(part.end, size)
        elif isinstance(part, OffsetByteRequest):
            start, stop = part.offset, size
        else:
            assert isinstance(part, SuffixByteRequest)
            start, stop = max(size - part.suffix, 0), size
        with storage.open(path) as file:
            file.seek(start)
            return file.read(stop - start)
    except InputNotFound:
        return None


def folders(storage: Storage, folder: str) -> list[str]:
    """The names of the folders directly in a folder, sorted; of files too if the store does not tell them apart."""
    if isinstance(storage, LocalStorage):
        where = Path(urls.local_path(folder))
        return sorted(entry.name for entry in where.iterdir() if entry.is_dir()) if where.is_dir() else []
    if not isinstance(storage, FsspecStorage):
        return children(storage, folder)

    def look(fs: Any) -> list[str]:
        try:
            found = fs.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        # entries of a listing over HTTP have no reliable type, and no size
        below = [entry for entry in found if entry.get("type") != "file" or entry.get("size") is None]
        return [str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in below]

    return sorted(set(storage.run(folder, "listing", look)))


def children(storage: Storage, folder: str) -> list[str]:
    """The names of files and folders directly in a folder, sorted."""
    if isinstance(storage, LocalStorage):
        where = Path(urls.local_path(folder))
        return sorted(entry.name for entry in where.iterdir()) if where.is_dir() else []
    if isinstance(storage, FsspecStorage):

        def look(fs: Any) -> list[str]:
            try:
                return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(folder, detail=False)]
            except FileNotFoundError:
                return []

        return sorted(set(storage.run(folder, "listing", look)))
    below = f"{folder}/"
    return sorted({info.path.partition(below)[2].partition("/")[0] for info in storage.listing(folder)})
