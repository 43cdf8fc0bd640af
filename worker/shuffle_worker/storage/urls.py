"""What a path says before anything is opened: which store, whether it is a pattern, which folder it starts from.

Called by `storage_for`, by the storages and by `plan/inputs.py`. Pure text.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from pathlib import Path

from shuffle_worker.errors import InvalidSpec

LOCAL = ("file", "local")
S3 = ("s3", "s3a", "s3n")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*)://")
_MAGIC = re.compile(r"[*?\[]")


@lru_cache(maxsize=1)
def known_schemes() -> frozenset[str]:
    """Every scheme that fsspec could open, were the package for it installed."""
    from fsspec.registry import available_protocols  # type: ignore[import-untyped]

    return frozenset(available_protocols()) | {*LOCAL, *S3}


def scheme_of(path: str) -> str:
    """ "file" for a plain path; the s3 spellings are one."""
    found = _SCHEME.match(path)
    if not found:
        return "file"
    scheme = found.group(1).lower()
    if scheme in LOCAL:
        return "file"
    return "s3" if scheme in S3 else scheme


def checked_scheme(path: str) -> str:
    """The scheme of a path, refused where it is unknown or the path is a chain of stores (`zip::s3://...`)."""
    if not path:
        raise InvalidSpec("a path is empty: give a file, a folder or a glob, such as s3://bucket/events/")
    if "::" in path and ("://" in path or path.split("::", 1)[0] in known_schemes()):
        raise InvalidSpec(f"{path}: chained addresses (with ::) are not supported; copy or unpack the data first")
    scheme = scheme_of(path)
    if scheme not in ("file", "s3") and scheme not in known_schemes():
        near = difflib.get_close_matches(scheme, sorted(known_schemes()), n=1)
        hint = f"did you mean {near[0]}://?" if near else "use a plain path, or s3:// for example"
        raise InvalidSpec(f"{path}: unknown scheme {scheme}://; {hint}")
    return scheme


def local_path(path: str) -> str:
    """The absolute file system path of `/x`, `x`, `~/x` or `file:///x`."""
    found = _SCHEME.match(path)
    bare = path[found.end() :] if found else path
    if found and not bare.startswith("/"):
        raise InvalidSpec(f"{path}: a local address has three slashes, file:///folder/file, or write the plain path")
    return str(Path(bare).expanduser().absolute())


def is_glob(path: str) -> bool:
    return _MAGIC.search(path) is not None


def glob_base(path: str) -> str:
    """The folder above the first segment of a pattern that holds a wildcard; the path itself where there is none."""
    kept: list[str] = []
    for segment in path.split("/"):
        if is_glob(segment):
            return "/".join(kept)
        kept.append(segment)
    return path


def is_hidden(relative: str) -> bool:
    """Whether a segment of a path below a folder marks it as no data: `_SUCCESS`, `.part.crc`, `_shuffle-x/part`."""
    return any(segment[:1] in ("_", ".") for segment in relative.split("/") if segment)


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


@lru_cache(maxsize=64)
def glob_pattern(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stop at a slash, `**` does not, `[abc]` and `[!a]` are classes. The whole path must match."""
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
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            body = rest[1:end].replace("\\", "\\\\")
            out.append(f"[^{body[1:]}]" if body[0] == "!" else f"[{body}]")
            at += end + 1
        else:
            out.append(re.escape(rest[0]))
            at += 1
    return re.compile("".join(out))


def matches(path: str, pattern: str) -> bool:
    """Whether a file is named by a glob: it matches, or a folder above it does."""
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
