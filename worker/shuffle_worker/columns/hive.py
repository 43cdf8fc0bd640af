"""Hive partitions, columns in the names of folders: `country=DE/year=2026/part-00000.parquet`.

Which folders count follows from a file's canonical path alone. So every way of naming the file gives the same columns:
the table's folder, one below it, a pattern, a list of files, `s3a://` for `s3://`. The table's root is the input's
`basePath`. Without one, the search starts at the folder that the path or its pattern starts from: the root is the
nearest folder, this one or one above it, that is no hive folder. So `hive/dt=2026-01-01/` has the column `dt`, and
`run=7/out/`, the output of an earlier job that happens to lie below such a folder, has no column `run`. See
docs/decisions/0005.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Field
from shuffle_worker.storage import urls

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

Values = dict[str, str | None]
"""The columns of a file by name; None is null."""


class Spelled(NamedTuple):
    """The columns of one file."""

    path: str
    """The file's path."""
    values: Mapping[str, str | None]


def root_of(folder: str) -> str:
    """The table's root for a canonical folder: the folder itself, or the nearest one above it that is no
    `name=value`."""
    least = folder.find("://") + 3 if "://" in folder else 0
    while True:
        above, mark, name = folder.rpartition("/")
        if name and urls.hive_pair(name) is None:
            return folder
        if not mark or len(above) < least:
            return folder
        if not above:
            return "/"
        folder = above


def values_of(path: str, root: str) -> Values:
    """The columns in the names of the folders between a root and a file, both canonical. Raises DataError if two
    folders have the same name and different values."""
    out: Values = {}
    root = root.rstrip("/")
    for folder in path[len(root) :].split("/")[:-1] if path.startswith(f"{root}/") else ():
        pair = urls.hive_pair(folder)
        if pair is None:
            continue
        name, value = unescaped(pair[0]), None if pair[1] == HIVE_NULL else unescaped(pair[1])
        if out.setdefault(name, value) != value:
            raise DataError(
                f"{path}: its folders say {name}={out[name]} and {name}={value}; rename one of them, or set basePath "
                "to the folder below which folders are columns"
            )
    return out


def unescaped(text: str) -> str:
    """The text with `%2F` and the like decoded. Text that does not decode as UTF-8 was never encoded, and stays."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def columns_of(names: Iterable[str], files: Sequence[Spelled], declared: pa.Schema) -> list[Field]:
    """The columns in the names of the files' folders that the files themselves lack. names: the files' own columns.
    declared: types that the job declares. Raises DataError if names of folders differ only in case."""
    values: dict[str, list[str | None]] = {}
    for file in files:
        for name, value in file.values.items():
            values.setdefault(name, []).append(value)
    _check_case(files, values)
    for name in names:
        values.pop(name, None)
    columns: list[Field] = []
    for name, found in values.items():
        known = [value for value in found if value is not None]
        kind = declared.field(name).type if declared.get_field_index(name) >= 0 else type_of(known)
        columns.append(pa.field(name, kind, nullable=len(known) < len(files)))
    return columns


def notes(names: Sequence[str], files: Sequence[Spelled], above: Mapping[str, str]) -> list[str]:
    """Notes for people. names: the files' own columns. above: the columns in folders at or above the input's path, with
    that path."""
    said = [
        f"column {name!r} is of the folder names in {path}; set basePath to leave it out"
        for name, path in above.items()
    ]
    spelled = dict.fromkeys(name for file in files for name in file.values)
    for name in spelled:
        lacking = [file for file in files if name not in file.values]
        if name in names:
            said.append(f"column {name!r} is in the files and in the names of their folders: the files' own is taken")
        elif lacking:
            said.append(
                f"column {name!r} is in the folder names of {len(files) - len(lacking):,} of {len(files):,} files: it "
                f"is null in the others ({lacking[0].path}, ...)"
            )
    return said


def type_of(values: Iterable[str]) -> pa.DataType:
    """int64 if every value is a whole number, date32 if every one is a day, otherwise text. A value must be spelled as
    it would be written again: `007` and `2026-1-1` are text."""
    found = set(values)
    if found and all(_is_whole(value) for value in found):
        return pa.int64()
    if found and all(_is_day(value) for value in found):
        return pa.date32()
    return pa.string()


def _is_whole(text: str) -> bool:
    try:
        return str(int(text)) == text and -(2**63) <= int(text) < 2**63
    except ValueError:
        return False


def _is_day(text: str) -> bool:
    try:
        return len(text) == 10 and datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_case(files: Sequence[Spelled], names: Iterable[str]) -> None:
    """Refuse `Day=1/` beside `day=2/`. They are meant as one column; read as two, each would be null in some files."""
    folded: dict[str, str] = {}
    for name in names:
        other = folded.setdefault(name.lower(), name)
        if other == name or any(name in file.values and other in file.values for file in files):
            continue
        one = next(file.path for file in files if other in file.values)
        two = next(file.path for file in files if name in file.values)
        raise DataError(
            f"{two}: its folder says {name!r} where that of {one} says {other!r}; the names of columns differ in case "
            "only, so rename the folders of one of them"
        )
