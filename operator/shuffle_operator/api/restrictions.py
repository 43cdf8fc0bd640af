"""What an operator refuses of jobs that are right in themselves: stores by their protocols, functions of the user's.

Set by the chart (`allowedProtocols`, `allowFunctions`), checked before anything of a job is started. A path is checked
link by link, should it be a chain of stores (`zip://a::s3://b`), and so is a protocol that is named in the options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shuffle_operator.api.called import functions_called
from shuffle_operator.api.data import Input, Storage
from shuffle_operator.api.problems import Path, Problem, shorten
from shuffle_operator.api.spec import ShuffleJob

ANY = "*"
NO_PROTOCOL = "a path of the worker's own file system"
_PROTOCOL = re.compile(r"([^/:]*)://")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What the operator lets jobs use."""

    protocols: frozenset[str] | None = None
    """Protocols of fsspec that may be used, in lower case; None: any, and plain paths as well."""
    functions: bool = True
    """Whether a job may bring functions of its own."""


UNRESTRICTED = Restrictions()


def restriction_problems(job: ShuffleJob, allowed: Restrictions) -> Iterator[Problem]:
    if allowed.protocols is not None:
        for path, url, storage in _places(job):
            yield from _protocol_problems(path, url, allowed.protocols)
            yield from _option_problems(path[:3] if path[1] == "inputs" else path[:-1], storage, allowed.protocols)
    if not allowed.functions:
        for path, name in _functions(job):
            message = f"found {shorten(name)}; this operator lets no job bring functions of its own (allowFunctions)"
            yield Problem(path, message)


def protocols_of(url: str) -> list[str]:
    """The protocol of each link; "" for one that is a plain path. A link that is a mere word is a protocol, as fsspec
    has it."""
    links = url.split("::")
    found = []
    for link in links:
        match = _PROTOCOL.match(link)
        if match:
            found.append(match[1].lower())
        else:
            found.append(link if len(links) > 1 and _WORD.fullmatch(link) else "")
    return found


def _protocol_problems(path: Path, url: str, allowed: frozenset[str]) -> Iterator[Problem]:
    refused = [protocol for protocol in protocols_of(url) if protocol not in allowed]
    if refused:
        named = ", ".join(f"{p}://" if p else NO_PROTOCOL for p in dict.fromkeys(refused))
        yield Problem(path, f'found {named} in "{shorten(url)}"; {_expected(allowed)}')


def _option_problems(path: Path, storage: Storage | None, allowed: frozenset[str]) -> Iterator[Problem]:
    """Options such as target_protocol, by which one store stands on another."""
    for name, value in ((storage.options if storage is not None else None) or {}).items():
        texts = [value] if isinstance(value, str) else []
        if name.lower().endswith("protocol") and not {text.lower() for text in texts} <= allowed:
            yield Problem((*path, "storage", "options", name), f"found {shorten(str(value))}; {_expected(allowed)}")


def _expected(allowed: frozenset[str]) -> str:
    return f"this operator allows {', '.join(f'{p}://' for p in sorted(allowed)) or 'nothing'} (allowedProtocols)"


def _places(job: ShuffleJob) -> Iterator[tuple[Path, str, Storage | None]]:
    for at, item in enumerate(job.spec.inputs):
        for path, url in _input_paths(item, ("spec", "inputs", at)):
            yield path, url, item.storage
    yield ("spec", "output", "path"), job.spec.output.path, job.spec.output.storage
    sources = job.spec.functions.sources if job.spec.functions is not None else None
    for at, source in enumerate(sources or []):
        if source.path is not None:
            yield ("spec", "functions", "sources", at, "path"), source.path, source.storage


def _input_paths(item: Input, where: Path) -> Iterator[tuple[Path, str]]:
    if item.path is not None:
        yield (*where, "path"), item.path
    for at, path in enumerate(item.paths or []):
        yield (*where, "paths", at), path


def _functions(job: ShuffleJob) -> Iterator[tuple[Path, str]]:
    yield from functions_called(job.spec)
    if job.spec.functions is not None:
        yield ("spec", "functions"), "functions"
