"""Where files are: local folders, S3 and every other fsspec store behind one contract (`storage.py`).

urls.py     what a path means: scheme, glob, folder; unknown schemes refused
walk.py     the files below a local folder
markers.py  objects that only mark folders
tables.py   how to recognise the folder of a table of Delta Lake and the like
failures.py error messages for errors of the operating system and the stores
retry.py    which errors another try may mend, and how long to wait
hashing.py  the part of every sink that counts and hashes bytes
local.py    plain files
remote.py   any fsspec store
clouds.py   Google's and Azure's stores
s3.py       how an S3 client is set up, and its multipart uploads
"""

from __future__ import annotations

from threading import Lock

import msgspec

from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import urls
from shuffle_worker.storage.local import LocalStorage
from shuffle_worker.storage.remote import FsspecStorage
from shuffle_worker.storage.storage import Info, Range, Sink, Storage
from shuffle_worker.storage.urls import checked_scheme

__all__ = ["FsspecStorage", "Info", "LocalStorage", "Range", "Sink", "Storage", "Storages", "storage_for"]


def storage_for(path: str, settings: StorageOptions | None = None) -> Storage:
    """The storage that holds `path`. Contacts nothing yet. Raises InvalidSpec if the scheme is unknown or the path is a
    chain of stores."""
    settings = settings or StorageOptions()
    scheme = checked_scheme(path)
    if scheme == "file":
        return LocalStorage()
    if scheme == "s3":
        from shuffle_worker.storage.s3 import S3Storage

        return S3Storage(settings)
    if scheme == urls.GCS[0]:
        from shuffle_worker.storage.clouds import GoogleStorage

        return GoogleStorage(settings)
    if scheme == urls.AZURE[0]:
        from shuffle_worker.storage.clouds import AzureStorage

        return AzureStorage(settings, urls.azure_host(path))
    return FsspecStorage(scheme, settings)


class Storages:
    """Storages, each opened once and then reused while the environment has the same credentials.

    An S3 client takes 20 MiB, and once its store has answered, retries are more patient for everything in it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, bytes], Storage] = {}
        self._opening = Lock()

    def of(self, path: str, settings: StorageOptions | None = None) -> Storage:
        """As `storage_for`."""
        key = (checked_scheme(path), urls.azure_host(path), msgspec.json.encode(settings or StorageOptions()))
        with self._opening:
            if key not in self._known:
                self._known[key] = storage_for(path, settings)
            return self._known[key]
