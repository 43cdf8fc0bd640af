"""The files below a local folder.

Memory: a record for each file, and one for each folder.
"""

# ruff: noqa: PTH112, PTH114, PTH116, PTH119, PTH115
# Plain strings and os calls: a listing has a hundred thousand names, and each would become a Path.

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from shuffle_worker.errors import DataError, InputNotFound, InvalidSpec, JobError
from shuffle_worker.storage import urls
from shuffle_worker.storage.base import Info
from shuffle_worker.storage.failures import failure
from shuffle_worker.storage.markers import is_named_marker

_LOST = "lost+found"
"""What some file systems have in their first folder, for root's eyes only."""

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def tag_of(found: os.stat_result) -> str:
    """What `Info` calls a file's tag."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def files_below(folder: str, *, data: bool) -> list[Info]:
    """Sorted. Links to folders are followed; every folder counts once, by its own path before that of a link.

    data: hidden files and folders are left out, and so are links to files that are there too. What is no file, or
    cannot be looked at, is refused by name: a job that left it out would seem to be whole. Otherwise every file that
    can be seen. Raises JobError; OSError where the folder itself cannot be read."""
    walk = _Walk(data)
    walk.below(folder)
    if data and walk.linked:
        seen = {_identity(os.stat(info.path)) for info in walk.files}
        for info, identity in sorted(walk.linked):
            if identity not in seen:
                seen.add(identity)
                walk.files.append(info)
    return sorted(walk.files)


def data_file(path: str) -> Info | None:
    """A file to be read; None where it is a folder. Raises the JobErrors of what is neither; FileNotFoundError."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputNotFound(
                f"{path}: is a link to {os.readlink(path)}, which does not exist; remove the link, or mend it"
            ) from None
        raise
    except OSError as error:
        raise _unseen(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise DataError(
            f"{path}: is {kind}, and only files can be read; leave it out, or write what it gives to a file"
        )
    return Info(path, found.st_size, tag_of(found))


class _Walk:
    """files: those that are no links; linked: those that are, with what says that two names are one file."""

    def __init__(self, data: bool) -> None:
        self.files: list[Info] = []
        self.linked: list[tuple[Info, tuple[int, int]]] = []
        self._data = data
        self._seen: set[tuple[int, int]] = set()
        self._waiting: list[str] = []

    def below(self, folder: str) -> None:
        self._folders(folder)
        while self._waiting:  # folders by their own paths first, whatever order links come in
            links, self._waiting = sorted(self._waiting), []
            for link in links:
                self._folders(link)

    def _folders(self, first: str) -> None:
        stack = [first]
        while stack:
            at = stack.pop()
            if not self._is_new(at, first):
                continue
            for entry in self._entries(at, first):
                if self._data and self._is_passed(entry):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    self._take(entry)

    def _is_new(self, folder: str, first: str) -> bool:
        try:
            identity = _identity(os.stat(folder))
        except FileNotFoundError:
            if folder == first:
                raise
            return False  # removed while we listed
        known = identity in self._seen
        self._seen.add(identity)
        return not known

    def _entries(self, folder: str, first: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as found:
                yield from found
        except OSError as error:
            gone = isinstance(error, (FileNotFoundError, NotADirectoryError))  # replaced by a file: nothing is below
            if gone or (isinstance(error, PermissionError) and not self._data):
                if folder == first:
                    raise
                return
            if os.path.basename(folder) != _LOST:
                raise failure(folder, "listing", error) from error

    def _is_passed(self, entry: os.DirEntry[str]) -> bool:
        """Whether its name says that it is no data."""
        name = entry.name
        if not name.isascii():
            _check_text(entry.path)
        if name[:1] in ("_", "."):
            return urls.hive_pair(name) is None or not entry.is_dir()
        return urls.hidden_file(name) and not entry.is_dir()

    def _take(self, entry: os.DirEntry[str]) -> None:
        """A file, or a link to a file or a folder."""
        path = entry.path
        try:
            if entry.is_symlink() and os.path.isdir(path):
                self._waiting.append(path)
                return
            if self._data and not entry.is_file(follow_symlinks=False):
                info = data_file(path)
            else:
                found = entry.stat()
                info = Info(path, found.st_size, tag_of(found))
        except FileNotFoundError:
            return  # removed while we listed; in a listing of all files, a link to nowhere
        except JobError:
            raise
        except OSError as error:
            if not self._data:
                return
            raise _unseen(path, error) from error
        if info is None or (not info.size and is_named_marker(path)):
            return
        if self._data and entry.is_symlink():
            self.linked.append((info, _identity(os.stat(path))))
        else:
            self.files.append(info)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _unseen(path: str, error: OSError) -> JobError:
    if error.errno == errno.ELOOP:
        return InvalidSpec(f"{path}: is a link that leads back to itself; remove it, or leave it out")
    return failure(path, "reading", error)


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(f"{os.fsencode(path)!r}: the name is no text in UTF-8; rename the file") from None
