"""The files below a local folder.

Memory: a record for each file, and one for each folder.
"""

# ruff: noqa: PTH112, PTH114, PTH116, PTH119, PTH115, PTH120
# Plain strings and os calls: a listing may have a hundred thousand names, and each would become a Path.

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec, JobError
from shuffle_worker.storage import urls
from shuffle_worker.storage.failures import failure
from shuffle_worker.storage.markers import is_named_marker
from shuffle_worker.storage.storage import Info

_LOST = "lost+found"
"""A folder that some file systems have at the top, and only root can read."""

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


Wanted = Callable[[str], bool]
Identity = tuple[int, int]
"""Device and inode: equal for two names of one file or folder."""

MOST_LINKS = 100_000
"""The most links to folders that are followed: a dozen folders that link to each other have too many ways to walk."""

LAST = sys.maxsize


def tag_of(found: os.stat_result) -> str:
    """A file's tag, as in `Info`."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def files_below(folder: str, *, data: bool, wanted: Wanted | None = None) -> list[Info]:
    """The files below a folder, sorted.

    Follows links to folders, but skips a link to a folder that it lies in. Every file counts once, by its own path
    rather than one through a link.

    data: leave out hidden files and folders, and links to files that are there too. Raises JobError for anything that
    is no file or cannot be looked at, because a job that skipped it would look complete. Without `data`: every file
    that can be seen. wanted: which paths are asked for; others may be anything. Raises OSError if the folder itself
    cannot be read."""
    walk = Walk(folder, data=data, wanted=wanted)
    walk.below(folder)
    return walk.found()


def data_file(path: str) -> Info | None:
    """A file to be read; None if it is a folder. Raises JobError if it is neither; FileNotFoundError."""
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


class _Folder(NamedTuple):
    """A folder whose entries are to be listed."""

    path: str
    identity: Identity
    links: int = 0
    """How many links lie on its path."""
    above: _Folder | None = None
    """The folder in which it was found."""

    def is_inside(self, identity: Identity) -> bool:
        at: _Folder | None = self
        while at is not None and at.identity != identity:
            at = at.above
        return at is not None


class _Linked(NamedTuple):
    """A file that was reached through a link."""

    links: int
    """As in `_Folder`. Links to single files come last."""
    info: Info
    place: tuple[Identity, str]
    """The identity of its folder and its name there; for a link to a single file the file's identity and ""."""


class Walk:
    """Collects files: all below a folder, or named files and those below named folders. data, wanted: as in
    `files_below`."""

    def __init__(self, base: str, *, data: bool, wanted: Wanted | None = None) -> None:
        self._base = base
        self._files: list[Info] = []
        self._linked: list[_Linked] = []
        self._data = data
        self._wanted = wanted
        self._own: set[Identity] = set()
        self._followed = 0

    def one(self, path: str) -> None:
        """Add a file, or all files below a folder. Raises JobError if it is neither; OSError."""
        info = data_file(path)
        if info is None:
            self.below(path)
        else:
            folder = os.path.dirname(path)
            at = _Folder(folder, _identity(os.stat(folder)), self._links_to(folder))
            self._add(info, at, alone=os.path.islink(path))

    def below(self, folder: str) -> None:
        stack = [_Folder(folder, _identity(os.stat(folder)), self._links_to(folder))]
        while stack:
            at = stack.pop()
            for entry in self._entries(at.path, folder):
                if self._data and self._is_passed(entry):
                    continue
                if self._is_folder(entry):
                    inner = self._inner(entry, at)
                    stack += [] if inner is None else [inner]
                else:
                    self._take(entry, at)

    def _links_to(self, folder: str) -> int:
        """How many links lie on its path below the base."""
        links, at = 0, folder
        while len(at) > len(self._base) and at != os.path.dirname(at):
            links, at = links + os.path.islink(at), os.path.dirname(at)
        return links

    def found(self) -> list[Info]:
        if not self._linked:
            return sorted(self._files)
        found = list(self._files)
        seen = set(_places(found))
        for linked in sorted(self._linked):
            if linked.place not in seen:
                found.append(linked.info)
                seen.update([linked.place, (_identity(os.stat(linked.info.path)), "")])
        return sorted(found)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))

    def _inner(self, entry: os.DirEntry[str], above: _Folder) -> _Folder | None:
        """A folder in a folder; None if it is gone, or a link to one of the folders above it."""
        try:
            identity = _identity(os.stat(entry.path))
        except FileNotFoundError:
            return None  # removed meanwhile
        links = above.links + entry.is_symlink()
        if above.is_inside(identity) or (not links and identity in self._own):
            return None
        self._own.update([] if links else [identity])
        self._followed += entry.is_symlink()
        if self._followed > MOST_LINKS:
            raise InvalidSpec(
                f"{entry.path}: links lead from folder to folder in more than {MOST_LINKS:,} ways; remove some, or "
                "name the folders that are to be read"
            )
        return _Folder(entry.path, identity, links, above)

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
        """Whether the name says that it is no data."""
        name = entry.name
        if name[:1] in ("_", "."):
            return urls.hive_pair(name) is None or not entry.is_dir()
        return urls.hidden_file(name) and not entry.is_dir()

    def _take(self, entry: os.DirEntry[str], folder: _Folder) -> None:
        path = entry.path
        try:
            if self._wanted is not None and not self._wanted(path) and not _leads_nowhere(entry):
                return
            if self._data and not path.isascii():
                _check_text(path)
            if self._data and not entry.is_file(follow_symlinks=False):
                info = data_file(path)
            else:
                found = entry.stat()
                info = Info(path, found.st_size, tag_of(found))
        except FileNotFoundError:
            return  # removed meanwhile; without `data`, a broken link too
        except JobError:
            raise
        except OSError as error:
            if not self._data:
                return
            raise _unseen(path, error) from error
        if info is None or (not info.size and is_named_marker(path)):
            return
        self._add(info, folder, alone=self._data and entry.is_symlink())

    def _add(self, info: Info, folder: _Folder, *, alone: bool) -> None:
        """alone: it is a link to a single file."""
        if alone:
            self._linked.append(_Linked(LAST, info, (_identity(os.stat(info.path)), "")))
        elif folder.links:
            self._linked.append(_Linked(folder.links, info, (folder.identity, os.path.basename(info.path))))
        else:
            self._files.append(info)


def _places(files: list[Info]) -> Iterator[tuple[Identity, str]]:
    """The places of files, as in `_Linked`, for their folder and name and for themselves."""
    folders: dict[str, Identity] = {}
    for info in files:
        folder, name = os.path.split(info.path)
        if folder not in folders:
            folders[folder] = _identity(os.stat(folder))
        yield folders[folder], name
        yield _identity(os.stat(info.path)), ""


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Whether it is a broken link. Nobody can say whether its target was a folder of files."""
    return entry.is_symlink() and not os.path.lexists(os.path.realpath(entry.path))


def _identity(found: os.stat_result) -> Identity:
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
