"""Which argument of which call sets a field of the resource: messages name it, and a test walks over all fields.

A field is set by the argument of its own name in snake_case, but for those in `RENAMED` and `OTHER_CALLS`. What is
below it is a mapping that the argument takes, in the resource's own words: `with_workers(resources={"limits": ...})`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shuffle_operator.api.problems import Path, Problem, path_text

Calls = Mapping[Path, str]
"""The calls that made parts of a job, by the part's path: ("spec", "output") -> "write_csv"."""

DEFAULT_CALLS: Calls = {
    ("metadata",): "named",
    ("spec",): "configure",
    ("spec", "inputs"): "read_files",
    ("spec", "operation", "repartition"): "repartition",
    ("spec", "operation", "sort"): "sort",
    ("spec", "operation", "join"): "join",
    ("spec", "operation", "join", "asOf"): "join_as_of",
    ("spec", "operation", "groupBy"): "group_by",
    ("spec", "operation", "distinct"): "distinct",
    ("spec", "operation", "cluster"): "cluster",
    ("spec", "operation", "window"): "window",
    ("spec", "operation", "rechunk"): "rechunk",
    ("spec", "output"): "write_parquet",
    ("spec", "workers"): "with_workers",
    ("spec", "functions"): "with_functions",
    ("spec", "recovery"): "configure",
}
"""The calls that can only be these, and those that stand for their kind (read_*, write_*)."""

OTHER_CALLS: Calls = {
    ("spec", "operation", "groupBy", "aggregations"): "agg",
    ("spec", "operation", "groupBy", "apply"): "apply",
    ("spec", "operation", "groupBy", "schema"): "apply",
    ("spec", "operation", "groupBy", "per"): "apply",
    ("spec", "operation", "groupBy", "timeoutSeconds"): "apply",
    ("spec", "operation", "join", "left"): "read_files",
    ("spec", "operation", "join", "right"): "read_files",
    ("spec", "operation", "join", "sides"): "join_sides",
}
"""Fields that another call sets than the one that makes the object they are in."""

RENAMED: Mapping[Path, str] = {
    ("spec", "inputs", "paths"): "path",
    ("spec", "operation", "join", "type"): "how",
    ("spec", "operation", "join", "asOf", "left"): "left_time",
    ("spec", "operation", "join", "asOf", "right"): "right_time",
    ("spec", "operation", "join", "left"): "name",
    ("spec", "operation", "join", "right"): "name",
    ("spec", "operation", "groupBy", "apply"): "function",
}

_MANY: tuple[Path, ...] = (("spec",), ("spec", "inputs"), ("spec", "operation"))
"""What several calls make together."""

CSV = ("spec", "inputs", "csv")
"""Its fields are arguments of `read_csv` themselves."""


class CallArgument(NamedTuple):
    """An argument of a call, and what is below it; the whole call where the name is ""."""

    call: str
    name: str = ""
    below: Path = ()

    def __str__(self) -> str:
        return f"{self.call}({path_text((self.name, *self.below))}=...)" if self.name else f"{self.call}(...)"


def snake(name: str) -> str:
    """retainShards -> retain_shards."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower()


def argument_of(path: Path, calls: Calls) -> CallArgument | None:
    """calls: those that made the job. None where no single argument sets what is there."""
    whole = calls.get(path) or DEFAULT_CALLS.get(_words(path))
    if whole is not None and path not in _MANY:
        return CallArgument(whole)
    for length in range(len(path) - 1, 0, -1):
        made = calls.get(path[:length]) or DEFAULT_CALLS.get(_words(path[:length]))
        if made is not None and not isinstance(path[length], int):
            break
    else:
        return None
    if made == "read_csv" and _words(path[: length + 1]) == CSV and len(path) > length + 1:
        length += 1
    field = _words(path[: length + 1])
    if field in _MANY:
        return None
    other = OTHER_CALLS.get(field)
    call = calls.get(("spec", "inputs", 0), other) if other == "read_files" else other or made
    return CallArgument(call or made, RENAMED.get(field) or snake(str(path[length])), path[length + 1 :])


def _words(path: Path) -> Path:
    """Without indices."""
    return tuple(part for part in path if isinstance(part, str))


def named(problems: Iterable[Problem], calls: Calls) -> list[Problem]:
    """The problems with the arguments that they are about."""
    return [
        problem._replace(argument=problem.argument or str(argument_of(problem.path, calls) or ""))
        for problem in problems
    ]
