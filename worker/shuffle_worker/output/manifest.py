"""What is recorded of output: each file, the files of a group, the manifest of a whole output."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

MANIFEST_FORMAT = "shuffle-manifest/1"

Binary = bytes
"""In a record that has a field named `bytes` its annotations mean that field by the name."""


class FileResult(NamedTuple):
    """One output file as the manifest lists it."""

    partition: int
    name: str
    rows: int
    bytes: int
    checksum: str
    """xxh3-64 of its bytes, hexadecimal."""
    keys: tuple[list[object], list[object]] | None
    """For range layouts the smallest and largest key, as JSON-ready values, else None."""
    parts: list[FileResult] | None = None
    """Where a partition is not one file but one for each of its folders (`output.partitionBy`), these; what stands
    beside is their sum."""
    left_out: int = 0
    """Rows of the partition that the output's filter leaves out."""

    @property
    def files(self) -> list[FileResult]:
        return [self] if self.parts is None else self.parts


class FileRecord(Struct, frozen=True):
    """One output file in the manifest."""

    name: str
    rows: int
    bytes: int
    checksum: str
    """xxh3-64 of its bytes."""
    smallest: list[object] | None = None
    largest: list[object] | None = None
    """`smallest`, `largest`: the smallest and the largest key, of range layouts."""


class GroupRecord(Struct, frozen=True):
    """What was written for a group: kept in the staging folder, so that it outlives the worker that wrote it."""

    plan: str
    group: int
    rows: int
    files: list[FileRecord]
    received: int = -1
    """Rows that the group was made of; -1: not known."""
    left_out: int = 0
    """Rows that the output's filter left out."""


class Partitioning(Struct, frozen=True):
    """How rows were partitioned. A later job that needs them so needs no shuffle."""

    method: str
    """hash, range, sort, cluster, random, roundRobin or none."""
    keys: list[str]
    count: int
    hash: str = ""
    """Name and version of the hash function."""


class Manifest(Struct, frozen=True):
    """`_manifest.json`."""

    format: str
    job: str
    uid: str
    plan: str
    partitioning: Partitioning
    columns: list[tuple[str, str]]
    """The same for people."""
    schema: Binary
    """The Arrow schema as an IPC message, base64."""
    rows: int
    bytes: int
    files: list[FileRecord]
    partition_by: list[str] = msgspec.field(name="partitionBy", default_factory=list)
    """The columns that the folders of the files spell out, the last ones of the schema."""
    left_out: int | msgspec.UnsetType = msgspec.field(name="rowsLeftOut", default=msgspec.UNSET)
    """Rows of the result that the output's filter left out; absent where there is none."""
