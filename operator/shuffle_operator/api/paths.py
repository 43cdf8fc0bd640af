"""Whether an output lies in, on or around an input, by their texts alone, before anything is opened.

The plan checks again with the files that it found. This check needs no storage, so a mistake that would make a job read
its own output, or replace its own input, is reported by `shuffle validate` already.
"""

from __future__ import annotations

import posixpath
import re

_GLOB = re.compile(r"[*?\[]")
_SCHEME_ALIASES = {
    "s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs", "wasb": "abfs", "wasbs": "abfs",
}  # fmt: skip
_AZURE_HOST = re.compile(r"^/*([^/@]+)@[^/]+")


def normal(path: str) -> str:
    """One spelling for each place: scheme in lower case, file:// left out, no doubled or trailing slashes, no dots."""
    scheme, separator, rest = path.partition("://")
    if not separator:
        scheme, rest = "", path.removeprefix("file:") if path.startswith("file:/") else path
    scheme = _SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    rest = posixpath.normpath(re.sub(r"/+", "/", rest)) if rest else "."
    if scheme in ("", "file", "local"):
        return rest
    if scheme == "abfs":
        rest = _AZURE_HOST.sub(r"\1", rest)
    return f"{scheme}://{rest.lstrip('/')}"


def overlap(source: str, output: str) -> str | None:
    """How an output is in the way of an input ("is", "is inside", "is around"), or None."""
    target, place = normal(output), normal(source)
    if not _GLOB.search(place):
        if target == place:
            return "is"
        if _inside(target, place):
            return "is inside"
        return "is around" if _inside(place, target) else None
    fixed = _GLOB.split(place, maxsplit=1)[0].rpartition("/")[0]
    if _inside(fixed, target) and fixed != target:
        return "is around"
    pattern = re.compile(_glob_regex(place))
    parts = target.split("/")
    if any(pattern.fullmatch("/".join(parts[:count])) for count in range(1, len(parts) + 1)):
        return "is inside"
    return "is inside" if pattern.fullmatch(f"{target}/part-00000.parquet") else None


def below(path: str, base: str) -> bool:
    """Whether a path, or what a pattern starts from, is a folder or in it. True where the texts do not show it, because
    one is relative and the other is not."""
    place, root = normal(path), normal(base)
    if place.startswith("~") != root.startswith("~") or place.startswith("/") != root.startswith("/"):
        return "://" not in place and "://" not in root
    if place == root or _inside(place, root) or root.startswith(".."):
        return True
    fixed = _GLOB.split(place, maxsplit=1)[0].rpartition("/")[0]
    return _GLOB.search(place) is not None and (fixed == root or _inside(fixed, root))


def _inside(path: str, folder: str) -> bool:
    if folder == ".":
        return not path.startswith(("/", "..")) and "://" not in path
    return path.startswith(folder if folder.endswith("/") else folder + "/")


def _glob_regex(pattern: str) -> str:
    """As fsspec reads globs: * and ? stay within a name, ** crosses folders."""
    regex, index = "", 0
    while index < len(pattern):
        character = pattern[index]
        if pattern.startswith("**/", index):
            regex, index = regex + "(?:.*/)?", index + 3
        elif pattern.startswith("**", index):
            regex, index = regex + ".*", index + 2
        elif character == "[" and (end := pattern.find("]", index + 2)) > 0:
            inner = pattern[index + 1 : end].replace("\\", "\\\\")
            regex, index = regex + "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]", end + 1
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
            index += 1
    return regex
