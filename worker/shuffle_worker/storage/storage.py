"""The interface of a storage: a few verbs over any fsspec URL, with errors that people understand.

`LocalStorage`, `FsspecStorage` and its subclasses implement it, and so does the simulation. The conformance suite in
tests/conformance/test_storages.py runs against each of them. Callers use whole paths (`s3://bucket/key`,
`/folder/file`) and know nothing of fsspec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, Protocol

from shuffle_worker.storage.tables import Marker


class Info(NamedTuple):
    """A file."""

    path: str
    size: int
    tag: str
    """Changes whenever the file's bytes do: an ETag, or size and modification time to the nanosecond."""


class Range(NamedTuple):
    """Bytes [start, end) of a file."""

    path: str
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class Survey(NamedTuple):
    """What a path names."""

    files: list[Info]
    """Sorted by path."""
    folder: str
    """Canonical path of the folder that the path starts from, or that holds the single file."""
    single: bool
    """The path names one file."""
    tables: list[Marker]
    """The tables of Delta Lake and the like at or below `folder`, one marker each."""


class Sink(Protocol):
    """A file being written. Nobody can see it before `commit`, and nobody ever can after `abort` or if the process
    dies. `checksum` is the xxh3-64 of the bytes written so far, in hexadecimal."""

    def write(self, data: bytes | memoryview) -> int: ...

    def commit(self) -> None: ...

    def abort(self) -> None: ...

    @property
    def size(self) -> int: ...

    @property
    def checksum(self) -> str: ...


class Storage(Protocol):
    """Every call raises a JobError that names the path: InputNotFound, AccessDenied, StorageUnavailable, OutOfDisk.

    Calls block (they run in compute threads), and retry inside, with backoff and jitter, where that can help.
    """

    def find(self, path: str) -> list[Info]:
        """Every file that a file, folder or glob names, sorted by path.

        Hidden files (see `urls.is_hidden`) and folder markers do not count in a folder or glob. A path that exists as
        it is written is that path, whatever its characters; only then is it tried as a pattern.

        Raises InputNotFound if there is no file, and names what is there but is no file that can be read."""
        ...

    def survey(self, path: str) -> Survey:
        """`find`, with everything else that its listing shows."""
        ...

    def table_at(self, folder: str) -> Marker | None:
        """The marker of a folder that is a table of Delta Lake or the like. A few requests, whatever the folder
        holds."""
        ...

    def listing(self, folder: str) -> list[Info]:
        """Every file below a folder, hidden ones too. Empty if the folder does not exist."""
        ...

    def info(self, path: str) -> Info: ...

    def open(self, path: str) -> BinaryIO:
        """Open a file for random access. Caches no more than the bytes of one request."""
        ...

    def native(self, path: str) -> str | None:
        """The path by which Arrow can open the file itself; None if only `open` can."""
        ...

    def create(self, path: str) -> Sink:
        """Makes the folders above it, if the store has folders."""
        ...

    def read(self, path: str) -> bytes: ...

    def fetch(self, path: str) -> tuple[bytes, str]:
        """A file's bytes and its tag at that moment, in one request. The tag is "" if the store does not send it with
        the bytes."""
        ...

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of each range, shorter if the file ends before it. Runs several requests at once, and holds all
        bytes in memory, so the caller bounds what it asks for."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write or replace a small file; readers see it whole or not at all."""
        ...

    def move(self, source: str, target: str) -> None:
        """Replaces the target. Idempotent after a crash: it is no error if only the target is left."""
        ...

    def remove(self, paths: list[str]) -> None:
        """Absent files are no error. Removes folders that become empty too, if the store has folders."""
        ...

    def sweep(self, folder: str) -> None:
        """Remove what the sinks of dead processes left below a folder (temporary files, uploads in progress), and empty
        folders. Call it only when nobody writes there any more: at the end of a commit or an abort."""
        ...
