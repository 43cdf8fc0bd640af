"""docs/reference/shufflejob.md, from the same schema as the CRD: every field with its type, limits and default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shuffle_operator.api.quantities import PATTERN
from shuffle_operator.api.rules import APART_MESSAGE, FROZEN, RULES
from shuffle_operator.api.schema import crd
from shuffle_operator.api.spec import API_VERSION, KIND
from shuffle_operator.api.status import REASONS

_INTRODUCTION = f"""\
<!-- Generated from operator/shuffle_operator/api by `make crds`; change the models instead. -->
# {KIND}

`apiVersion: {API_VERSION}`, `kind: {KIND}`, namespaced, short name `shj`. The same file runs with `shuffle run` on one
machine and, as a resource, in a cluster. Fields marked **required** must be given; all others may be left out.
`kubectl explain shufflejob.spec` shows the same.

A version may describe more than it carries out; `shuffle validate` says what it does not support yet.
"""


def reference_page() -> str:
    """The page's text."""
    job = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lines = [_INTRODUCTION]
    for part in ("spec", "status"):
        lines += [f"## {part}", "", job["properties"][part]["description"], ""]
        lines += _tables(part, job["properties"][part])
    lines += [
        "## Rules",
        "",
        "Checked by the API server (1.25 and later) and by `shuffle validate` and the operator.",
        "",
    ]
    lines += [f"- `{rule.scope or 'metadata'}`: {rule.message}" for rule in RULES]
    lines += [f"- `spec`: {APART_MESSAGE}"]
    lines += [f"- `spec`: {', '.join(f'`{name}`' for name in FROZEN)} cannot be changed", ""]
    lines += ["## Reasons", "", "Of the conditions `Complete` and `Failed`, and of the command line's errors.", ""]
    lines += ["| reason | meaning |", "| --- | --- |"]
    lines += [f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()]
    return "\n".join(lines) + "\n"


def _tables(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """One table for an object, then one for each object in it."""
    if "." in path:
        yield from (f"### {path}", "")
    yield "| field | type | default | |"
    yield "| --- | --- | --- | --- |"
    nested: list[tuple[str, Mapping[str, Any]]] = []
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        if "properties" in inner:
            nested.append((f"{path}.{name}" + ("[]" if "items" in field else ""), inner))
        default = _default(field, name in schema.get("required", []))
        yield f"| `{name}` | {_type(field)} | {default} | {field.get('description', '').replace('|', '&#124;')} |"
    yield ""
    for below, inner in nested:
        yield from _tables(below, inner)


def _default(field: Mapping[str, Any], required: bool) -> str:
    if required:
        return "**required**"
    if "default" not in field:
        return ""
    value = field["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("pattern") == PATTERN:
        return "quantity"
    if field.get("x-kubernetes-int-or-string"):
        return f"integer or `{field['pattern'].strip('^$')}`"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}{_count(field, 'minItems', 'maxItems')}"
    if "additionalProperties" in field:
        return f"mapping to {_type(field['additionalProperties'])}"
    if field["type"] in ("integer", "number"):
        return f"{field['type']}{_count(field, 'minimum', 'maximum')}"
    if field.get("format") == "date-time":
        return "time"
    return str(field["type"])


def _count(field: Mapping[str, Any], least: str, most: str) -> str:
    low, high = field.get(least), field.get(most)
    if high is None:
        return ""
    return f", {low:,} to {high:,}" if low is not None else f", at most {high:,}"
