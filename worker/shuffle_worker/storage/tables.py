"""How to recognise the folder of a table of Delta Lake, Iceberg and the like. Pure.

The files of such a table are not its rows: some were replaced or deleted, and only the table's log says which. So a
table is never read as a folder of files. Storages look for its marker in the listings that they make anyway
(`marker_of`), and in the few folders above by one request for each of `PLACES`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Marker(NamedTuple):
    """A file or folder that shows that a folder is a table."""

    folder: str
    """The table's folder."""
    kind: str
    """The table format's name."""
    name: str
    """The marker's path below the folder."""


class LogPlace(NamedTuple):
    """Where a table format has its log."""

    kind: str
    folder: str
    """The log's folder, below the table's."""
    names: re.Pattern[str] | None
    """The names in it that mark a table; None: any name."""


_METADATA = re.compile(r"[^/]*\.metadata\.json|version-hint\.text")

PLACES = (
    LogPlace("Delta Lake", "_delta_log", None),
    LogPlace("Hudi", ".hoodie", None),
    LogPlace("Iceberg", "metadata", _METADATA),
    LogPlace("Paimon", "snapshot", re.compile(r"snapshot-\d+|LATEST|EARLIEST")),
    LogPlace("Lance", "_versions", re.compile(r"[^/]*\.manifest")),
)

HUDI_PARTITION = ".hoodie_partition_metadata"
"""A file that Hudi leaves in every folder of data."""

_QUICK = re.compile(r"/(?:_delta_log/|\.hoodie|metadata/|snapshot/|_versions/|(?:base|delta|delete_delta)_\d{7})")
_ACID = re.compile(r"/(?:base|delta|delete_delta)_\d{7,}[_\dv]*/(?:bucket_\d+|_orc_acid_version)")


def marker_of(path: str) -> Marker | None:
    """The table that a file belongs to by its path: in a table's log, or in one of Hive's transactional tables."""
    if _QUICK.search(path) is None:
        return None
    acid = _ACID.search(path)
    if acid is not None:
        return Marker(path[: acid.start()], "transactional Hive", acid.group()[1:])
    folder, _, name = path.rpartition("/")
    if name == HUDI_PARTITION:
        return Marker(folder, "Hudi", name)
    for place in PLACES:
        inside = f"/{place.folder}/"
        at = path.find(inside)
        rest = path[at + len(inside) :]
        if at >= 0 and (place.names is None or place.names.fullmatch(rest)):
            return Marker(path[:at], place.kind, inside[1:] if place.names is None else inside[1:] + rest)
    return None


def shown(place: LogPlace, names: list[str]) -> str:
    """The path below the table's folder of the first name that marks a table; "" if none of the names does.

    names: some names in `place.folder`."""
    if place.names is None:
        return f"{place.folder}/" if names else ""
    name = next((name for name in sorted(names) if place.names.fullmatch(name)), "")
    return name and f"{place.folder}/{name}"
