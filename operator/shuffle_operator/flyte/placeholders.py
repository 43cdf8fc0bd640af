"""`{{ .inputs.NAME }}` in a job's spec, and the task's inputs that take its place.

The spelling is Flyte's own, of its SQL tasks. A text that is nothing but one placeholder becomes the input's value
with its type, so `partitions: "{{ .inputs.files }}"` becomes a number and `by: "{{ .inputs.keys }}"` a list; anywhere
else the value is written into the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from shuffle_operator.api.problems import InvalidJob, Path, Problem, nearest

_PLACEHOLDER = re.compile(r"\{\{\s*\.?inputs\.([A-Za-z_]\w*)\s*\}\}")

Value = str | int | float | bool | datetime | list[Any]


def names(spec: object) -> set[str]:
    """The inputs that a spec uses."""
    return {name for _, text in _texts(spec, ()) for name in _PLACEHOLDER.findall(text)}


def depends_on_inputs(spec: object, path: Path) -> bool:
    """Whether the value at a path of the spec, or one on the way there, is only known once the inputs are."""
    node: Any = spec
    for step in path:
        if isinstance(node, str):
            break
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(node, str) and _PLACEHOLDER.search(node) is not None


def filled_in(spec: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """The spec with the inputs' values. Raises InvalidJob where an input that it names has none."""
    missing = sorted(names(spec) - set(values))
    if missing:
        raise InvalidJob([_unknown(spec, name, values) for name in missing])
    result: dict[str, Any] = _filled(spec, values, "")
    return result


def _unknown(spec: object, name: str, values: Mapping[str, Value]) -> Problem:
    path = next(path for path, text in _texts(spec, ()) if name in _PLACEHOLDER.findall(text))
    close = nearest(name, list(values))
    known = f"the task's inputs are {', '.join(sorted(values))}" if values else "the task has no inputs"
    hint = f"did you mean {close}?" if close else known
    return Problem(("spec", *path), f"there is no input {name}; {hint}")


def _texts(node: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _texts(value, (*path, str(key)))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _texts(value, (*path, index))


def _filled(node: Any, values: Mapping[str, Value], field: str) -> Any:
    if isinstance(node, Mapping):
        return {key: _filled(value, values, field if field == "compute" else str(key)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_filled(value, values, field) for value in node]
    if not isinstance(node, str):
        return node
    whole = _PLACEHOLDER.fullmatch(node)
    if whole and not isinstance(values[whole[1]], datetime):
        return values[whole[1]]
    write = _in_a_filter if field in ("filter", "compute") else _in_a_text
    return _PLACEHOLDER.sub(_writer(values, write), node)


def _writer(values: Mapping[str, Value], write: Callable[[Value], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: write(values[match[1]])


def _in_a_text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo is not None else value
        return moment.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, list):
        return ", ".join(_in_a_text(each) for each in value)
    return str(value)


def _in_a_filter(value: Value) -> str:
    """A quote in a value must not end the SQL string that it stands in."""
    return _in_a_text(value).replace("'", "''")
