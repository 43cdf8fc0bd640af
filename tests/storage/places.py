"""Stores with an empty folder, for tests of what is found in one."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Self

from tests.storage.s3_server import BUCKET

from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import storage_for


class Place:
    """folder: its address."""

    def __init__(self, folder: str, settings: StorageOptions) -> None:
        self.folder, self.settings = folder, settings
        self.storage = storage_for(folder, settings)

    @classmethod
    def on_disk(cls, folder: Path) -> Self:
        return cls(str(folder / "root"), StorageOptions())

    @classmethod
    def on_s3(cls, address: str) -> Self:
        """A folder of its own in the bucket of a server."""
        return cls(f"s3://{BUCKET}/{uuid.uuid4().hex}", StorageOptions(endpoint=address))

    def put(self, *names: str, data: bytes = b"data") -> None:
        for name in names:
            self.storage.put(f"{self.folder}/{name}", data)

    def find(self, path: str) -> list[str]:
        """The files that a path below the folder names, by their paths below it."""
        return [info.path[len(self.folder) + 1 :] for info in self.storage.find(f"{self.folder}/{path}")]
