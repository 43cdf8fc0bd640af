"""The records of what was written for each group, in the staging folder: they outlive the worker that wrote it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec

from shuffle_protocol.errors import InputNotFound, Internal
from shuffle_worker.output.names import group_path, staging
from shuffle_worker.storage import Storage

_GROUP = re.compile(r"/group-(\d{5,})\.json$")
_READERS = 16


class AnyRecord(Protocol):
    """What the records of all kinds of jobs have in common."""

    @property
    def plan(self) -> str: ...


R = TypeVar("R", bound=AnyRecord)


def written_groups(storage: Storage, output: str, uid: str, fingerprint: str, kind: type[R]) -> list[R]:
    """The records of groups that were written by this plan; those of another, or half of one, do not count."""
    paths = [info.path for info in storage.listing(staging(output, uid)) if _GROUP.search(info.path)]

    def read(path: str) -> R | None:
        group = _GROUP.search(path)
        assert group is not None
        try:
            record = msgspec.json.decode(storage.read(group_path(output, uid, int(group[1]))), type=kind)
        except (msgspec.DecodeError, InputNotFound):
            return None
        return record if record.plan == fingerprint else None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
        return [record for record in pool.map(read, sorted(paths)) if record is not None]


def every_group(storage: Storage, output: str, uid: str, fingerprint: str, groups: int, kind: type[R]) -> list[R]:
    """The records of all groups, in their order. Raises InputNotFound where one is missing, Internal where one is of
    another plan."""

    def read(group: int) -> R:
        path = group_path(output, uid, group)
        record = msgspec.json.decode(storage.read(path), type=kind)
        if record.plan != fingerprint:
            raise Internal(f"{path} is of another plan")
        return record

    with ThreadPoolExecutor(_READERS, thread_name_prefix="commit") as pool:
        return list(pool.map(read, range(groups)))
