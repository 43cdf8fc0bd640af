"""Which files an input's paths name, with what their folders say.

One listing for each path, in the plan lease; a record for each file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from shuffle_protocol.errors import InvalidSpec, JobError
from shuffle_protocol.jobs import Input
from shuffle_worker.columns import hive
from shuffle_worker.storage import urls
from shuffle_worker.storage.storage import Info, Storage, Survey
from shuffle_worker.storage.tables import PLACES, Marker

THREADS = 16
"""Requests under way at once: each is small, and mostly waits for the store."""


class Listed(NamedTuple):
    info: Info
    hive: hive.Values


class Listing(NamedTuple):
    """The files that an input's paths name."""

    files: list[Listed]
    """In the order of the paths and sorted within each; a file that two paths name counts once."""
    above: dict[str, str]
    """Names of columns that folders at or above a path spell out, with one such path."""
    literal: set[str]
    """Those of the paths that are no patterns, though they may look like one."""


def list_files(source: Input, storage: Storage, index: int = 0) -> Listing:
    """Raises the JobErrors of paths that name nothing, or a table of Delta Lake and the like."""
    if not source.paths:
        raise InvalidSpec(f"inputs[{index}].path: missing: give a file, a folder, a glob or a list")
    base = urls.canonical(source.base_path).rstrip("/") if source.base_path else ""
    found: dict[str, Listed] = {}
    above: dict[str, str] = {}
    literal: set[str] = set()
    folders: dict[str, str] = {}
    for path in source.paths:
        survey = storage.survey(path)
        _check_below(path, survey, base, index)
        if not survey.single:
            _check_tables(path, survey)
            folders.setdefault(survey.folder, path)
        place = urls.canonical(path)
        if survey.single or all(_is_in(info.path, place) for info in survey.files):
            literal.add(path)
        root = base or hive.root_of(survey.folder)
        if not base:
            above.update((name, path) for name in hive.values_of(f"{survey.folder}/x", root))
        for info in survey.files:
            if info.path not in found:
                found[info.path] = Listed(info, hive.values_of(info.path, root))
    _check_above(folders, storage)
    return Listing(list(found.values()), above, literal)


def _is_in(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")


def _check_below(path: str, survey: Survey, base: str, index: int) -> None:
    if base and survey.folder != base and not _is_in(survey.folder, base):
        raise InvalidSpec(
            f"inputs[{index}].basePath: {path} is not below {base}; basePath is the table's root, the folder that all "
            "paths of the input are in"
        )


def _check_tables(path: str, survey: Survey) -> None:
    for marker in sorted(survey.tables):
        if _is_deliberate(survey.folder, marker):
            continue
        if any(_is_in(info.path, marker.folder) for info in survey.files):
            raise _refused(path, survey.folder, marker)


def _check_above(folders: dict[str, str], storage: Storage) -> None:
    """A folder of a table, `table/data/` or one of its partitions, is no better than all of it. Every folder above an
    input's is asked for once, whatever it holds: a few requests each."""
    tops = list(dict.fromkeys(folder for start in folders for folder in _above(start)))

    def look(folder: str) -> Marker | None:
        try:
            return storage.table_at(folder)
        except JobError:
            return None  # a right to read a folder need not be one to look at those above it

    with ThreadPoolExecutor(min(THREADS, len(tops) or 1), thread_name_prefix="tables") as pool:
        shown = list(pool.map(look, tops))
    for marker in shown:
        if marker is None:
            continue
        start = next(start for start in folders if _is_in(start, marker.folder))
        if not _is_deliberate(start, marker):
            raise _refused(folders[start], start, marker)


def _above(folder: str) -> Iterable[str]:
    """The folders above a canonical one, up to the bucket or the first folder of the disk."""
    least = len(folder.partition("://")[0]) + 3 if "://" in folder else 1
    folder = folder.rpartition("/")[0]
    while len(folder) > least:
        yield folder
        folder = folder.rpartition("/")[0]


def _is_deliberate(folder: str, marker: Marker) -> bool:
    """Whether the path is in the table's log, not in its data."""
    logs = (place.folder for place in PLACES)
    return any(folder == f"{marker.folder}/{log}" or _is_in(folder, f"{marker.folder}/{log}") for log in logs)


def _refused(path: str, folder: str, marker: Marker) -> InvalidSpec:
    a = "an" if marker.kind[0] in "AEIOU" else "a"
    inside = f" ({path} is in it)" if _is_in(folder, marker.folder) else ""
    if _is_in(marker.folder, folder):
        inside = f" (it is in {path})"
    return InvalidSpec(
        f"{marker.folder} is {a} {marker.kind} table, shown by {marker.name}{inside}. Its files are not its rows: some "
        "were deleted or replaced, and reading the folder would bring them back. Tables are not read as tables yet: "
        f"write the current rows to a folder with a tool that knows {marker.kind}, or name the current files one by "
        "one in `paths`"
    )


def literal_paths(source: Input, literal: set[str]) -> Sequence[tuple[str, bool]]:
    """Each path of an input, and whether it is a pattern."""
    return [(path, path not in literal and urls.is_glob(path)) for path in source.paths]
