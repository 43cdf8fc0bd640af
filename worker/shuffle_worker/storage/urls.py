"""What follows from the text of a path: its store, whether it is a pattern, which folder it starts from. Pure.

Called by `storage_for`, by the storages and by `inputs/reading.py`.
"""

from __future__ import annotations

import difflib
import os
import re
from functools import lru_cache
from pathlib import Path

from shuffle_protocol.errors import InvalidSpec

LOCAL = ("file", "local")
S3 = ("s3", "s3a", "s3n")
GCS = ("gs", "gcs")
AZURE = ("abfs", "abfss", "az", "wasb", "wasbs")
_ONE_SCHEME = {name: names[0] for names in (LOCAL, S3, GCS, AZURE) for name in names}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*)://")
_HADOOP_FILE = re.compile(r"^file:(?=/(?!/))", re.IGNORECASE)
"""`file:/folder`: a local path as Spark and Hadoop write it."""
_AZURE_HOST = re.compile(r"^([^/@]+)@([^/]+)")
_MAGIC = re.compile(r"[*?\[]")

COPYING = "._COPYING_"
"""The suffix that Hadoop gives to a file that is not whole yet."""


@lru_cache(maxsize=1)
def known_schemes() -> frozenset[str]:
    """Every scheme that fsspec can open if the scheme's package is installed."""
    from fsspec.registry import available_protocols  # type: ignore[import-untyped]

    return frozenset(available_protocols()) | set(_ONE_SCHEME)


def scheme_of(path: str) -> str:
    """ "file" for a plain path, "s3" for all spellings of S3, "gs" for Google's store, "abfs" for Azure's."""
    found = _SCHEME.match(path)
    if not found:
        return "file"
    scheme = found.group(1).lower()
    return _ONE_SCHEME.get(scheme, scheme)


def canonical(path: str) -> str:
    """The one spelling of a path, by which paths are compared.

    A local path is absolute. A remote one has its store's scheme (`s3://` for `s3a://`) and no server's name
    (`abfs://container/x` for `abfss://container@host/x`). The key stays as it is, because every character of it counts,
    even a doubled slash."""
    scheme = scheme_of(path)
    if scheme == "file":
        return local_path(path)
    rest = path.partition("://")[2]
    if scheme == AZURE[0]:
        rest = _AZURE_HOST.sub(r"\1", rest)
    return f"{scheme}://{rest}"


def azure_host(path: str) -> str:
    """The server in an Azure address such as `abfss://container@host/folder`; "" if it names none."""
    found = _AZURE_HOST.match(path.partition("://")[2])
    return found.group(2) if found else ""


def checked_scheme(path: str) -> str:
    """The scheme of a path. Raises InvalidSpec if it is unknown or the path is a chain of stores (`zip::s3://...`)."""
    if not path:
        raise InvalidSpec("a path is empty: give a file, a folder or a glob, such as s3://bucket/events/")
    if "\0" in path:
        raise InvalidSpec(f"{path!r}: a path holds no NUL character")
    if "::" in path and ("://" in path or path.split("::", 1)[0] in known_schemes()):
        raise InvalidSpec(f"{path}: chained addresses (with ::) are not supported; copy or unpack the data first")
    scheme = scheme_of(path)
    if scheme not in _ONE_SCHEME and scheme not in known_schemes():
        near = difflib.get_close_matches(scheme, sorted(known_schemes()), n=1)
        hint = f"did you mean {near[0]}://?" if near else "use a plain path, or s3:// for example"
        raise InvalidSpec(f"{path}: unknown scheme {scheme}://; {hint}")
    return scheme


def local_path(path: str) -> str:
    """The absolute file system path of `/x`, `x`, `~/x`, `file:///x` or `file:/x`, without doubled slashes, `.` and
    `..`. Keeps links, but for those that a `..` leads out of."""
    found = _SCHEME.match(path) or _HADOOP_FILE.match(path)
    bare = path[found.end() :] if found else path
    if found:
        bare = bare.removeprefix("localhost")
        if not bare.startswith("/"):
            raise InvalidSpec(
                f"{path}: a local address has three slashes, file:///folder/file, or write the plain path"
            )
    try:
        where = str((Path(bare) if found else Path(bare).expanduser()).absolute())
    except RuntimeError as error:  # ~name, and there is no such user
        raise InvalidSpec(f"{path}: there is no such user; write ./{bare} for a folder of that name") from error
    where = f"/{where.lstrip('/')}"
    return _without_parents(where) if "/.." in where else where


def _without_parents(path: str) -> str:
    """Resolves `..`. The folder above a link is the folder above its target."""
    kept = "/"
    for segment in path.split("/"):
        if segment == "..":
            kept = os.path.dirname(os.path.realpath(kept))  # noqa: PTH120
        elif segment:
            kept = os.path.join(kept, segment)  # noqa: PTH118
    return kept


def is_glob(path: str) -> bool:
    return _MAGIC.search(path) is not None


def glob_base(path: str) -> str:
    """The folder above the first segment that holds a wildcard; the path itself if none does."""
    kept: list[str] = []
    for segment in path.split("/"):
        if is_glob(segment):
            return "/".join(kept)
        kept.append(segment)
    return path


def hive_pair(folder: str) -> tuple[str, str] | None:
    """Name and value of a hive folder such as `country=DE`, as they are written; None for any other folder."""
    name, mark, value = folder.partition("=")
    return (name, value) if mark and name else None


def is_hidden(relative: str) -> bool:
    """Whether a segment of a file's path below a folder says that it is no data: `_SUCCESS`, `.part.crc`,
    `_shuffle-x/part`, `part.parquet._COPYING_`. A hive folder is data, whatever its name begins with
    (`_year=2026/`)."""
    *folders, name = relative.split("/")
    return hidden_file(name) or any(hidden_folder(folder) for folder in folders)


def hidden_file(name: str) -> bool:
    return name[:1] in ("_", ".") or name.endswith(COPYING) if name else False


def hidden_folder(name: str) -> bool:
    return name[:1] in ("_", ".") and hive_pair(name) is None if name else False


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


@lru_cache(maxsize=64)
def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression for whole paths. `*` and `?` stop at a slash, `**` does not; `[abc]` and `[!a]`
    are classes."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out.append("(?:[^/]+/)*")
            at += 3
        elif rest.startswith("**"):
            out.append(".*")
            at += 2
        elif rest[0] == "*":
            out.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            out.append("[^/]")
            at += 1
        elif rest[0] == "[" and "]" in rest[3 if rest[1:2] == "!" else 2 :]:
            end = rest.index("]", 3 if rest[1] == "!" else 2)
            out.append(_class(rest[1:end]))
            at += end + 1
        else:
            out.append(re.escape(rest[0]))
            at += 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error as error:
        raise InvalidSpec(f"{pattern}: is no pattern: {error.msg} in [...]") from error


def _class(body: str) -> str:
    """The characters between brackets as a class of a regular expression."""
    negated, body = body.startswith("!"), body.removeprefix("!")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", body)
    return f"[{'^/' if negated else ''}{escaped}]"


def matches(path: str, pattern: str) -> bool:
    """Whether a glob names a file: the glob matches the file or a folder above it."""
    compiled = glob_pattern(pattern.rstrip("/"))
    if compiled.fullmatch(path):
        return True
    base = glob_base(pattern)
    folder = path
    while "/" in folder and len(folder) > len(base):
        folder = folder.rsplit("/", 1)[0]
        if compiled.fullmatch(folder):
            return True
    return False
