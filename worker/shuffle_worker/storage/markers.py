"""Folder markers: empty objects that some tools write so that a store has folders. They are no data. Pure.

day=1/             S3's console, s3fs, Arrow     never listed as a file by any storage
day=1_$folder$     Hadoop's s3n, EMR
day=1              Hadoop on Azure, older tools: the folder's own name, with or without anything below it
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from shuffle_protocol.formats import format_by_name
from shuffle_worker.storage import urls
from shuffle_worker.storage.storage import Info

SUFFIX = "_$folder$"


def without_markers(found: Sequence[Info]) -> list[Info]:
    """The files that are no folder markers. found: sorted by path.

    An empty file is a marker if other files lie below its name, or if its name is a hive folder's (`day=1`) and has no
    format's suffix (`day=1.csv`). Any other empty file is a file, which its reader may refuse."""
    if all(info.size for info in found):
        return list(found)
    paths = [info.path for info in found]
    return [info for info in found if info.size or not _is_marker(info.path, paths)]


def is_named_marker(path: str) -> bool:
    """Whether an empty file is a folder marker by its name alone."""
    return path.endswith(SUFFIX)


def _is_marker(path: str, paths: Sequence[str]) -> bool:
    if is_named_marker(path):
        return True
    after = bisect_left(paths, f"{path}/")
    if after < len(paths) and paths[after].startswith(f"{path}/"):
        return True
    name = path.rsplit("/", 1)[-1]
    return urls.hive_pair(name) is not None and format_by_name(name) is None
