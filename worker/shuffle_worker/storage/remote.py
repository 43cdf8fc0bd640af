"""Any store that fsspec can open, behind the storage contract.

fsspec's synchronous calls run in compute threads. Listings are never cached, because a store may have changed since.
Each read is a ranged request, a large one several in parallel; nothing is cached. `S3Storage` overrides what S3 can do
better.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from shuffle_protocol.errors import InputNotFound, InvalidSpec, JobError, StorageUnavailable
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import tables, urls
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.hashing import HashingSink
from shuffle_worker.storage.markers import without_markers
from shuffle_worker.storage.retry import FIRST, STEADY, RetryPolicy, Transient, bounds, retried
from shuffle_worker.storage.storage import Info, Range, Sink, Survey
from shuffle_worker.storage.tables import Marker

T = TypeVar("T")

RANGE = 8 << 20
"""Bytes of one ranged request; a larger read becomes several at once."""


class FsspecStorage:
    """A store by the name of its fsspec protocol. One instance serves all threads of a worker."""

    def __init__(self, scheme: str, settings: StorageOptions) -> None:
        self.scheme = scheme
        self.settings = settings
        self._lock = threading.Lock()
        self._opened: Any = None  # the fsspec file system, opened at first use
        self._answered = False

    # -- reading -----------------------------------------------------------------------------------------------------

    def find(self, path: str) -> list[Info]:
        return self._found(path)[0].files

    def survey(self, path: str) -> Survey:
        found, listed = self._found(path)
        markers = (tables.marker_of(info.path) for info in listed)
        return found._replace(tables=list({one.folder: one for one in markers if one is not None}.values()))

    def _found(self, path: str) -> tuple[Survey, list[Info]]:
        """What a path names, and every file that was listed on the way."""
        path = self._canonical(path)
        single = None if path.endswith("/") else self._file(path)
        if single is not None and single.size:
            return Survey([single], path.rpartition("/")[0], True, []), []
        folder = path.rstrip("/")
        listed = self._below(folder)
        data = _data(listed, folder)
        if single is not None and not listed:
            return Survey([single], path.rpartition("/")[0], True, []), []
        pattern = not listed and urls.is_glob(path)
        if pattern:
            folder = urls.glob_base(path)
            listed = self._below(folder)
            data = [info for info in _data(listed, folder) if urls.matches(info.path, path)]
        if not data:
            said_none = "the pattern matches no file" if pattern else "no such file, and no files in such a folder"
            raise InputNotFound(f"{path}: {said_none} (names that begin with _ or . do not count){_doubled(path)}")
        return Survey(data, folder, False, []), listed

    def table_at(self, folder: str) -> Marker | None:
        for place in tables.PLACES:
            name = tables.shown(place, self._names(f"{folder.rstrip('/')}/{place.folder}/"))
            if name:
                return Marker(folder, place.kind, name)
        return None

    def listing(self, folder: str) -> list[Info]:
        return self._below(self._canonical(folder).rstrip("/"))

    def info(self, path: str) -> Info:
        path = self._canonical(path)
        found = self._file(path)
        if found is None:
            raise InputNotFound(f"{path}: no such file")
        return found

    def open(self, path: str) -> BinaryIO:
        path = self._canonical(path)
        return cast("BinaryIO", RangeFile(self, self.info(path)))

    def native(self, path: str) -> str | None:  # noqa: ARG002
        return None

    def read(self, path: str) -> bytes:
        path = self._canonical(path)
        return self.run(path, "reading", lambda fs: cast("bytes", fs.cat_file(path)))

    def fetch(self, path: str) -> tuple[bytes, str]:
        return self.read(path), ""

    def read_range(self, path: str, start: int, end: int, tag: str = "") -> bytes:  # noqa: ARG002
        """Bytes [start, end) of a file. tag: the file's tag when it was opened, for stores that can check it."""
        if end - start <= RANGE:
            return self.run(path, "reading", lambda fs: cast("bytes", fs.cat_file(path, start=start, end=end)))
        starts = list(range(start, end, RANGE))
        ends = [min(at + RANGE, end) for at in starts]

        def fetch(fs: Any) -> bytes:
            parts = fs.cat_ranges([path] * len(starts), starts, ends, on_error="raise")
            return b"".join(parts)

        return self.run(path, "reading", fetch)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        if not ranges:
            return []
        try:
            return self._read_ranges(ranges)
        except InputNotFound:
            for path in dict.fromkeys(one.path for one in ranges):
                self.info(path)  # raises for the file that is missing
            raise

    def _read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        paths = [self._canonical(one.path) for one in ranges]
        starts, ends = [one.start for one in ranges], [one.end for one in ranges]
        return self.run(paths[0], "reading", lambda fs: list(fs.cat_ranges(paths, starts, ends, on_error="raise")))

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, path: str) -> Sink:
        return RemoteSink(self, self._canonical(path))

    def put(self, path: str, data: bytes) -> None:
        path = self._canonical(path)
        self.run(path, "writing", lambda fs: fs.pipe_file(path, data))

    def move(self, source: str, target: str) -> None:
        source, target = self._canonical(source), self._canonical(target)
        if self._file(source) is None:
            if self._file(target) is None:
                raise InputNotFound(f"{source}: no such file")
            return
        self.run(target, "writing", lambda fs: self._copy(fs, source, target))
        self.remove([source])

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            where = self._canonical(path)
            self.run(where, "removing", partial(self._remove_one, where))

    def sweep(self, folder: str) -> None:
        self.remove([info.path for info in self.listing(folder) if info.path.endswith(_TEMPORARY)])

    # -- overridden by particular stores -----------------------------------------------------------------------------

    def _connect(self) -> Any:
        """The fsspec file system. Raises InvalidSpec if its package is missing or the options are wrong."""
        import fsspec  # type: ignore[import-untyped]

        options: dict[str, Any] = dict(self.settings.options)
        if self.settings.endpoint:
            options.setdefault("endpoint_url", self.settings.endpoint)
        try:
            return fsspec.filesystem(self.scheme, use_listings_cache=False, **options)
        except ImportError as error:
            raise InvalidSpec(f"{self.scheme}:// needs a package that is not installed: {said(error)}") from error
        except (TypeError, ValueError) as error:
            raise InvalidSpec(f"{self.scheme}://: the storage options do not fit: {said(error)}") from error

    def _translate(self, path: str, doing: str, error: Exception) -> Exception:
        """The error as a JobError, or as a Transient if another try may help."""
        if isinstance(error, TimeoutError | ConnectionError):
            return Transient(StorageUnavailable(f"{doing} {path}: the store does not answer: {said(error)}"))
        return failure(path, doing, error)

    def _canonical(self, path: str) -> str:
        return urls.canonical(path if "://" in path else f"{self.scheme}://{path.lstrip('/')}")

    def _copy(self, fs: Any, source: str, target: str) -> None:
        fs.cp_file(source, target)

    def _remove_one(self, path: str, fs: Any) -> None:
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            return

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _fs(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._connect()
            return self._opened

    def run(self, path: str, doing: str, what: Callable[[Any], T]) -> T:
        """Run one call, with retries where they may help. Raises JobErrors."""

        def once() -> T:
            try:
                answer = what(self._fs())
            except JobError:
                raise
            except FileNotFoundError as error:
                self._answered = True
                raise self._translate(path, doing, error) from error
            except Exception as error:
                raise self._translate(path, doing, error) from error
            self._answered = True
            return answer

        return retried(once, self._policy)

    def _policy(self) -> RetryPolicy:
        return bounds(self.settings.patience, STEADY if self._answered else FIRST)

    def _file(self, path: str) -> Info | None:
        """The file of this name; None if there is none (a folder is no file)."""

        def look(fs: Any) -> Info | None:
            try:
                found = fs.info(path)
            except FileNotFoundError:
                return None
            return self._info_of(found) if found["type"] == "file" else None

        return self.run(path, "reading", look)

    def _below(self, folder: str) -> list[Info]:
        def look(fs: Any) -> list[Info]:
            try:
                entries = fs.find(folder, detail=True)
            except FileNotFoundError:
                return []
            return [self._info_of(entry) for entry in entries.values() if entry["type"] == "file"]

        below = f"{folder}/"
        found = self.run(folder or f"{self.scheme}://", "listing", look)
        return sorted(info for info in found if info.path.startswith(below) and not info.path.endswith("/"))

    def _names(self, folder: str) -> list[str]:
        """The names of some files in a folder: as many as one or two requests return."""

        def look(fs: Any) -> list[str]:
            try:
                return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(folder.rstrip("/"), detail=False)]
            except (FileNotFoundError, NotADirectoryError):
                return []

        return self.run(folder, "listing", look)

    def _info_of(self, entry: dict[str, Any]) -> Info:
        name = str(entry["name"])
        path = name if "://" in name else f"{self.scheme}://{name.lstrip('/')}"
        size = int(entry["size"] or 0)
        mark = next(
            (
                entry[key]
                for key in ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
                if entry.get(key)
            ),
            "",
        )
        if isinstance(mark, datetime.datetime):  # some stores return text from one call and a time from another
            mark = mark.timestamp()
        return Info(path, size, f"{size}-{mark}".replace('"', ""))


def _data(listed: Sequence[Info], folder: str) -> list[Info]:
    return [info for info in without_markers(listed) if not urls.is_hidden(info.path[len(folder) :])]


def _doubled(path: str) -> str:
    """A hint about a doubled slash, which is easily overlooked and part of the key."""
    rest = path.partition("://")[2].rstrip("/")
    return "; the address has an empty name in it (//), which stores take as it is written" if "//" in rest else ""


_TEMPORARY = ".partial"


class RemoteSink(HashingSink):
    """Writes a file under a hidden name beside its target, and moves it there at commit. Memory: one block of the file
    system (about 5 MiB)."""

    def __init__(self, storage: FsspecStorage, path: str) -> None:
        super().__init__(path)
        self._storage = storage
        folder, _, name = path.rpartition("/")
        self._temporary = f"{folder}/.{name}.{secrets.token_hex(6)}{_TEMPORARY}"
        self._file = storage.run(path, "writing", self._start)

    def _start(self, fs: Any) -> Any:
        fs.makedirs(self.path.rsplit("/", 1)[0], exist_ok=True)
        return fs.open(self._temporary, "wb")

    def _write(self, data: memoryview) -> None:
        try:
            self._file.write(data)
        except Exception as error:
            self.abort()
            raise failure(self.path, "writing", error) from error

    def commit(self) -> None:
        if self._over:
            return
        try:
            self._file.close()
            self._storage.move(self._temporary, self.path)
        except Exception as error:
            self.abort()
            raise failure(self.path, "writing", error) from error
        self._over = True

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        with contextlib.suppress(Exception):
            self._file.close()  # nobody needs what could not be written
        self._storage.remove([self._temporary])


class RangeFile(io.RawIOBase):
    """A remote file with random access. Each read is one request for exactly its bytes; nothing is cached."""

    def __init__(self, storage: FsspecStorage, info: Info) -> None:
        super().__init__()
        self._storage = storage
        self._info = info
        self._at = 0

    @property
    def name(self) -> str:
        return self._info.path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._info.size if size is None or size < 0 else min(self._at + size, self._info.size)
        if end <= self._at:
            return b""
        data = self._storage.read_range(self._info.path, self._at, end, self._info.tag)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
