"""Object storage as this project sees it: a few verbs over any fsspec URL, with errors that people understand.

Implementations: `LocalStorage`, `FsspecStorage` and its `S3Storage`; the simulation has another. The conformance suite
in tests/conformance/test_storages.py is what they have in common. Everything above it speaks of whole paths
(`s3://bucket/key`, `/folder/file`), never of fsspec.
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
    """Changes whenever its bytes do (an ETag, or size and modification time to the nanosecond)."""


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
    """The one that a folder or a pattern starts from, that of a single file; by its canonical path."""
    single: bool
    """The path names one file."""
    tables: list[Marker]
    """What shows folders at or below `folder` to be tables of Delta Lake and the like, one marker for each."""


class Sink(Protocol):
    """A file being written. Nothing can be seen of it until `commit`; after `abort`, or when the process dies, nothing
    ever can. `checksum` is the xxh3-64 of the bytes written so far, hexadecimal."""

    def write(self, data: bytes | memoryview) -> int: ...

    def commit(self) -> None: ...

    def abort(self) -> None: ...

    @property
    def size(self) -> int: ...

    @property
    def checksum(self) -> str: ...


class Storage(Protocol):
    """Every call raises a JobError that names the path: InputNotFound, AccessDenied, StorageUnavailable, OutOfDisk.

    Calls block (they run in compute threads), and are retried inside, with backoff and jitter, where a retry can help.
    """

    def find(self, path: str) -> list[Info]:
        """Every file that a file, folder or glob names, sorted by path; of a folder or glob without hidden ones (see
        `urls.is_hidden`) and without objects that only mark folders. A path that exists as it is written is that path,
        whatever characters it holds; only else it is taken for a pattern.

        Raises InputNotFound where there is none, and names what is there and is no file that can be read."""
        ...

    def survey(self, path: str) -> Survey:
        """`find`, with what else its listing shows."""
        ...

    def table_at(self, folder: str) -> Marker | None:
        """What shows that a folder is a table of Delta Lake and the like. A few requests, whatever the folder holds."""
        ...

    def listing(self, folder: str) -> list[Info]:
        """Every file under a folder, hidden ones too; empty where the folder does not exist."""
        ...

    def info(self, path: str) -> Info: ...

    def open(self, path: str) -> BinaryIO:
        """Random access for reading, without caching more than one request's bytes."""
        ...

    def native(self, path: str) -> str | None:
        """The path under which Arrow can open the file itself, None where only `open` can."""
        ...

    def create(self, path: str) -> Sink:
        """Folders above it are made where the store has folders."""
        ...

    def read(self, path: str) -> bytes: ...

    def fetch(self, path: str) -> tuple[bytes, str]:
        """A file and its tag, of the same moment and in one request; "" where the store does not say it with the
        bytes."""
        ...

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of each, several requests under way at once; shorter where a file ends before its range. All of
        them are in memory: ask for as many as may be."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a small file, seen whole or not at all; replaces."""
        ...

    def move(self, source: str, target: str) -> None:
        """Replaces the target. Done again after a crash it is no error if only the target is left."""
        ...

    def remove(self, paths: list[str]) -> None:
        """Absent ones are no error; folders that became empty go too where the store has folders."""
        ...

    def sweep(self, folder: str) -> None:
        """Remove what sinks of processes that died left below a folder: temporary files, uploads in progress; and
        folders in which nothing is left. Only when
        nobody writes there any more: at the end of a commit or an abort."""
        ...
