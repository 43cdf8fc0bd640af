"""Local files, without fsspec.

A sink writes a hidden file beside its target and renames it at commit. So readers see a file whole or not at all, and
replacing one is a single step. `sweep` recognises by their names the hidden files that a dead process left behind.
"""

# ruff: noqa: PTH110, PTH208, PTH103, PTH105, PTH108, PTH112, PTH113, PTH116, PTH118, PTH119, PTH120, PTH123, PTH207, PTH106
# Plain strings and os calls: a listing may have a hundred thousand names, and each would become a Path.

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import secrets
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn

from shuffle_protocol.errors import InputNotFound, InvalidSpec
from shuffle_worker.runtime.direct import Pace, suits, write_whole
from shuffle_worker.storage import tables, urls
from shuffle_worker.storage.failures import failure
from shuffle_worker.storage.hashing import HashingSink
from shuffle_worker.storage.storage import Info, Range, Sink, Survey
from shuffle_worker.storage.tables import Marker
from shuffle_worker.storage.walk import Walk, data_file, files_below, tag_of

BUFFER = 1 << 20
"""Bytes that a sink gathers before it writes them to the file."""

_TEMPORARY = ".partial"


class LocalSink(HashingSink):
    """A file being written, buffered by `BUFFER` bytes."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        folder, name = os.path.split(path)
        self._temporary = os.path.join(folder, f".{name}.{secrets.token_hex(6)}{_TEMPORARY}")
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = open(self._temporary, "xb", buffering=BUFFER)  # noqa: SIM115
        except OSError as error:
            raise failure(path, "writing", error) from error

    def _write(self, data: memoryview) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            self._fail(error)

    def whole(self, data: memoryview, pace: Pace) -> None:
        """Write all of the file at once, instead of `write`; it gets no checksum. pace: the disk's."""
        try:
            write_whole(self._file.fileno(), data, pace)
        except OSError as error:
            self._fail(error)

    def commit(self) -> None:
        if self._over:
            return
        if Path(self.path).is_dir():
            self.abort()
            raise InvalidSpec(f"{self.path}: is a folder, a file was to be written there")
        try:
            self._file.close()
            os.replace(self._temporary, self.path)
        except OSError as error:
            self._fail(error)
        self._over = True

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        with contextlib.suppress(OSError):  # the rest of the buffer may find no room, and nobody needs it
            self._file.close()
        with contextlib.suppress(OSError):  # the folder may be gone by now, or replaced by something else
            Path(self._temporary).unlink()

    def _fail(self, error: OSError) -> NoReturn:
        said = failure(self.path, "writing", error)
        self.abort()
        raise said from error


class LocalStorage:
    """Takes plain paths and `file://` addresses. Returns absolute plain paths."""

    def __init__(self) -> None:
        self._pace = Pace()

    def find(self, path: str) -> list[Info]:
        return self._found(path).files

    def survey(self, path: str) -> Survey:
        found = self._found(path)
        return found if found.single else found._replace(tables=self._tables(found))

    def _found(self, path: str) -> Survey:
        where = urls.local_path(path)
        try:
            if os.path.lexists(where):
                single = data_file(where)
                if single is not None:
                    return Survey([single], os.path.dirname(where), True, [])
                folder, files = where, files_below(where, data=True)
            elif urls.is_glob(where):
                folder, files = urls.glob_base(where) or "/", _matching(where)
            else:
                raise InputNotFound(f"{path}: no such file or folder{_nearest_parent(where)}")
        except OSError as error:
            raise failure(path, "listing", error) from error
        if not files:
            kind = "the folder holds no files" if folder == where else "the pattern matches no file"
            raise InputNotFound(f"{path}: {kind} (names that begin with _ or . do not count)")
        return Survey(files, folder, False, [])

    def table_at(self, folder: str) -> Marker | None:
        for place in tables.PLACES:
            try:
                name = tables.shown(place, os.listdir(os.path.join(folder, place.folder)))
            except OSError:
                continue
            if name:
                return Marker(folder, place.kind, name)
        if os.path.exists(os.path.join(folder, tables.HUDI_PARTITION)):
            return Marker(folder, "Hudi", tables.HUDI_PARTITION)
        return None

    def _tables(self, found: Survey) -> list[Marker]:
        """The tables among the folders that hold the files, and the folders between."""
        folders = {found.folder}
        out: dict[str, Marker] = {}
        for info in found.files:
            at = os.path.dirname(info.path)
            while at not in folders and len(at) > len(found.folder):
                folders.add(at)
                at = os.path.dirname(at)
            shown = tables.marker_of(info.path)
            if shown is not None:
                out.setdefault(shown.folder, shown)
        for folder in folders:
            marker = self.table_at(folder)
            if marker is not None:
                out[folder] = marker
        return list(out.values())

    def listing(self, folder: str) -> list[Info]:
        try:
            return files_below(urls.local_path(folder), data=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise failure(folder, "listing", error) from error

    def info(self, path: str) -> Info:
        try:
            return self._info(urls.local_path(path))
        except OSError as error:
            raise failure(path, "reading", error) from error

    def open(self, path: str) -> BinaryIO:
        try:
            return open(urls.local_path(path), "rb", buffering=0)
        except OSError as error:
            raise failure(path, "reading", error) from error

    def native(self, path: str) -> str | None:
        return urls.local_path(path)

    def create(self, path: str) -> Sink:
        return LocalSink(urls.local_path(path))

    def read(self, path: str) -> bytes:
        try:
            return Path(urls.local_path(path)).read_bytes()
        except OSError as error:
            raise failure(path, "reading", error) from error

    def fetch(self, path: str) -> tuple[bytes, str]:
        try:
            with open(urls.local_path(path), "rb", buffering=0) as file:
                return file.readall(), tag_of(os.fstat(file.fileno()))
        except OSError as error:
            raise failure(path, "reading", error) from error

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        found: list[bytes] = []
        for path, group in itertools.groupby(ranges, key=lambda one: one.path):
            try:
                with open(urls.local_path(path), "rb", buffering=0) as file:
                    found += [os.pread(file.fileno(), one.length, one.start) for one in group]
            except OSError as error:
                raise failure(path, "reading", error) from error
        return found

    def takes(self, data: bytes | memoryview) -> bool:
        """Whether `put` would have the disk take the bytes from where they lie: then it only waits."""
        return suits(memoryview(data), self._pace)

    def put(self, path: str, data: bytes | memoryview) -> None:
        sink = LocalSink(urls.local_path(path))
        try:
            sink.whole(memoryview(data).cast("B"), self._pace)
            sink.commit()
        except BaseException:
            sink.abort()
            raise

    def move(self, source: str, target: str) -> None:
        old, new = urls.local_path(source), urls.local_path(target)
        try:
            os.makedirs(os.path.dirname(new), exist_ok=True)
            os.replace(old, new)
            if _is_hive(os.path.dirname(old)):
                _remove_empty(os.path.dirname(old))
        except FileNotFoundError as error:
            if not os.path.isfile(new):
                raise failure(source, "moving", error) from error
        except OSError as error:
            raise failure(source, "moving", error) from error

    def remove(self, paths: list[str]) -> None:
        folders: set[str] = set()
        for path in paths:
            where = urls.local_path(path)
            try:
                os.unlink(where)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise failure(path, "removing", error) from error
            folders.add(os.path.dirname(where))
        for folder in sorted(folders, key=len, reverse=True):
            _remove_empty(folder)

    def sweep(self, folder: str) -> None:
        self.remove([info.path for info in self.listing(folder) if _is_temporary(info.path)])
        _remove_empty_below(urls.local_path(folder))

    def _info(self, path: str) -> Info:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise InputNotFound(f"{path}: is a folder, not a file")
        return Info(path, found.st_size, tag_of(found))


def _matching(pattern: str) -> list[Info]:
    """The files that a pattern names, and the files below folders that it names. Raises OSError, JobError."""
    base = urls.glob_base(pattern) or "/"
    urls.glob_pattern(pattern)  # raises if it is no pattern
    if "**" in pattern:
        wanted = partial(urls.matches, pattern=pattern)
        return files_below(base, data=True, wanted=wanted) if os.path.isdir(base) else []
    walk = Walk(base, data=True)
    for name in glob.iglob(pattern, include_hidden=True):
        path = name.rstrip("/")
        relative = path[len(base) :].lstrip("/")
        if not urls.is_hidden(f"{relative}/x" if os.path.isdir(path) else relative):
            walk.one(path)
    return walk.found()


def _is_temporary(path: str) -> bool:
    name = os.path.basename(path)
    return name.startswith(".") and name.endswith(_TEMPORARY)


def _remove_empty(folder: str) -> None:
    """Remove a folder if it is empty, and then the folder above it too if the name is hidden (a staging folder) or a
    hive folder's (`country=DE`)."""
    try:
        os.rmdir(folder)
    except OSError:
        return
    if urls.is_hidden(os.path.basename(folder)) or _is_hive(folder):
        _remove_empty(os.path.dirname(folder))


def _remove_empty_below(folder: str) -> None:
    """Remove empty folders from the bottom up, and the folder itself if nothing is left in it."""
    gone = False
    for at, _, _ in os.walk(folder, topdown=False):
        if at != folder:
            with contextlib.suppress(OSError):
                os.rmdir(at)
                gone = True
    if gone:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _is_hive(folder: str) -> bool:
    return "=" in os.path.basename(folder)


def _nearest_parent(path: str) -> str:
    """The part of the path that exists, for messages."""
    for parent in Path(path).parents:
        if parent.is_dir():
            return f" ({parent} exists)"
    return ""
