"""The S3 server, from this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import s3fs

from e2e.harness.cluster import Storage


@dataclass
class Bucket:
    name: str
    storage: Storage
    files: s3fs.S3FileSystem = field(init=False)

    def __post_init__(self) -> None:
        # radosgw answers the newer checksums with 411.
        config = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        self.files = s3fs.S3FileSystem(
            key=self.storage.key,
            secret=self.storage.secret,
            endpoint_url=self.storage.outside,
            config_kwargs=config,
            use_listings_cache=False,
        )
        if not self.files.exists(self.name):
            self.files.mkdir(self.name)

    def url(self, path: str) -> str:
        return f"s3://{self.name}/{path}"

    def upload(self, folder: Path, path: str) -> None:
        """Every file of the folder that is not there yet."""
        there = set(self.names(path))
        for file in sorted(folder.iterdir()):
            if file.name not in there:
                self.files.put_file(str(file), f"{self.name}/{path}{file.name}")

    def names(self, path: str) -> list[str]:
        """Everything below the path, relative to it."""
        prefix = f"{self.name}/{path}"
        return sorted(found.removeprefix(prefix) for found in self.files.find(prefix))

    def json(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files.cat_file(f"{self.name}/{path}"))
        return found

    def remove(self, path: str) -> None:
        if self.files.exists(f"{self.name}/{path}"):
            self.files.rm(f"{self.name}/{path}", recursive=True)
