"""Pydantic's errors in the words of this API: what was found, what is expected, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from shuffle_operator.api import fields
from shuffle_operator.api.problems import Path, Problem, found, nearest, path_text, shorten
from shuffle_operator.api.quantities import parse
from shuffle_operator.api.spec import MAX_NAME
from shuffle_operator.api.synonyms import meant
from shuffle_protocol.units import some

FIELDS = 8
"""Fields of a mapping that an error lists."""

_PATTERNS = {
    "metadata.name": f"a name begins with a lower-case letter, holds lower-case letters, digits and -, ends with a "
    f"letter or digit, and has at most {MAX_NAME} characters",
    "endpoint": "expected an address such as https://minio.example.com:9000",
    "apply": "expected a Python function as package.module:function",
    "reader": "expected a Python function as package.module:function",
    "path": "a path holds no control characters",
    "paths": "a path holds no control characters",
    "inputs.name": "an input's name begins with a letter and holds letters, digits, _ and -",
    "image": "an image's name holds no spaces",
    "sha256": "expected the 64 hexadecimal digits that sha256sum prints",
    "env.name": "a variable's name begins with a letter or _ and holds letters, digits, _, - and .",
}
"""What a text must look like, by the end of its path without indices."""

_SECRET = {"env.value": "a string; write it in quotes", "storage.options": "a mapping"}
"""What is expected where a value is not shown, by the end of its path without indices: it may be a secret."""

_POSITIONS = (
    "positions are counted from 0, as start:stop or start:stop:step (0:8760, ::2, -24:); labels such as dates are not "
    "looked up: write the positions that they have"
)
_RESOURCE_NAME = "the name of a Kubernetes object holds lower-case letters, digits, - and . only"


class _Found(NamedTuple):
    """One of pydantic's errors, taken apart."""

    path: Path
    kind: str
    value: Any
    said: str
    """In pydantic's words, or in those of a validator of ours."""
    context: Mapping[str, Any]
    text: str | None
    """What was written, where YAML took it for no string."""


def problem_of(error: ErrorDetails, written: Mapping[Path, str]) -> Problem:
    """The problem that an error tells. written: the text of values that YAML took for no strings, by path."""
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    apart = _Found(path, error["type"], error["input"], error["msg"], error.get("ctx", {}), written.get(path))
    secret = _SECRET.get(".".join([part for part in path if isinstance(part, str)][-2:]))
    if secret is not None and apart.kind in ("string_type", "dict_type"):
        return Problem(path, f"found {_kind(apart.value)}, expected {secret} (it is not shown: it may be a secret)")
    return Problem(path, _MESSAGES.get(apart.kind, _other)(apart))


def _kind(value: object) -> str:
    """What a value is, without the value."""
    words = (
        (bool, "a boolean"),
        (int | float, "a number"),
        (str, "a string"),
        (list, "a list"),
        (Mapping, "a mapping"),
    )
    return next((word for kind, word in words if isinstance(value, kind)), "something else")


def _unknown(path: Path) -> str:
    name = str(path[-1])
    model = fields.model_at(path[:-1])
    names = list(fields.by_name(model)) if model is not None else []
    close = nearest(name, names)
    elsewhere = [place for place in fields.places().get(name, []) if place != path_text(path[:-1])]
    if elsewhere and (close is None or len(path) <= 2):
        return f"there is no such field here; `{name}` belongs to {' or '.join(elsewhere[:3])}"
    if close:
        return f"there is no such field; did you mean `{close}`?"
    known = f"; the fields here are {', '.join(names)}" if names else ""
    return f"there is no such field{known}"


def _missing(path: Path) -> str:
    field = fields.field_at(path)
    description = (field.description or "") if field is not None else ""
    about = description[:1].lower() + description[1:].rstrip(".")
    return f"this is missing, and is required ({about})" if about else "this is missing, and is required"


def _text_wanted(value: object, text: str | None) -> str:
    if isinstance(value, bool) and text is not None and text.lower() not in ("true", "false"):
        return f'found `{text}`, which YAML takes for the boolean {str(value).lower()}; write "{text}", in quotes'
    if isinstance(value, bool | int | float):
        shown = text if text is not None else str(value).lower() if isinstance(value, bool) else str(value)
        kind = "the boolean" if isinstance(value, bool) else "the number"
        return f'found {kind} {shorten(shown)}, expected a string; write "{shorten(shown)}", in quotes'
    hint = "; write one entry without the brackets" if isinstance(value, list) else ""
    return f"found {found(value)}, expected a string{hint}"


def _number_wanted(path: Path, value: object) -> str:
    expected = _range(path, {})
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value):
        return f"found {found(value)}, a string, expected {expected}; write {int(value)}, without quotes"
    if isinstance(value, str) and re.fullmatch(r"[0-9][0-9,.' _]*", value):
        return f"found {found(value)}, expected {expected}; write the digits alone"
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+([kMGTPE]i?|m)", value):
        return f"found {found(value)}, expected {expected}; write {int(parse(value))}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"found {value}, expected {expected}; write {int(value)}"
    return f"found {found(value)}, expected {expected}"


def _range(path: Path, context: Mapping[str, Any]) -> str:
    field = fields.field_at(path)
    least, most = fields.limits(field) if field is not None else (None, None)
    least = context.get("ge", least)
    most = context.get("le", most)
    if least is not None and most is not None:
        fraction = path[-1] == "quantile"
        return f"a {'' if fraction else 'whole '}number from {_number(least)} to {_number(most)}"
    if least is not None:
        return f"a whole number of at least {_number(least)}"
    return "a whole number"


def _number(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**30 else "a number of more than 30 digits"
    return f"{value:g}" if isinstance(value, float) else found(value)


def _choice(value: object, expected: str, text: str | None) -> str:
    options = re.findall(r"'([^']*)'", expected)
    listed = ", ".join(options[:-1]) + f" or {options[-1]}" if len(options) > 1 else options[0]
    shown = f"`{text}`, which YAML takes for {found(value)}" if text is not None else found(value)
    word = text if text is not None else value
    close = meant(word, options) if isinstance(word, str) else None
    return f"found {shown}, expected {listed}" + (f"; did you mean {close}?" if close and len(options) > 1 else "")


def _as_list(path: Path, value: object) -> str:
    model = fields.model_at(path)
    names = list(fields.by_name(model)) if model is not None else []
    if isinstance(value, str) and value:
        parts = [shorten(part.strip()) for part in value.split(",")]
        if "column" in names or "name" in names:  # keys of a sort, environment variables
            key = "column" if "column" in names else "name"
            parts = [f"{{{key}: {part}}}" for part in parts]
        elif names:
            return f" of mappings with {some(names, FIELDS)}"
        return f"; write [{', '.join(parts)}]"
    if isinstance(value, Mapping):
        return "; put a dash before each entry"
    return ""


def _mapping_wanted(path: Path, value: object) -> str:
    model = fields.model_at(path)
    names = list(fields.by_name(model)) if model is not None else []
    if isinstance(value, str) and "column" in names:
        return f"found {found(value)}, expected a mapping; write {{column: {shorten(value)}}}"
    if isinstance(value, str) and path[-1] == "secretRef":
        return f"found {found(value)}, expected a mapping; write {{name: {shorten(value)}}}"
    known = f" with {some(names, FIELDS)}" if names else ""
    return f"found {found(value)}, expected a mapping{known}"


def _length(kind: str, value: object, context: Mapping[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    count = len(value) if isinstance(value, list | dict) else int(context.get("actual_length") or 0)
    entries = "entry" if (least if kind == "too_short" else most) == 1 else "entries"
    if kind == "too_short":
        hint = " (or leave it out)" if count == 0 and least == 1 else ""
        return f"found {count or 'no'} entries, expected at least {least} {entries}{hint}"
    return f"found {count:,} entries, expected at most {most:,}"


def _too_long_text(path: Path, value: object, limit: int) -> str:
    count = len(value) if isinstance(value, str) else 0
    why = "; pods are named after the job, and a label's value has at most 63" if path == ("metadata", "name") else ""
    return f"found {count:,} characters, expected at most {limit:,}{why}"


def _pattern(path: Path) -> str:
    words = [part for part in path if isinstance(part, str)]
    if "select" in words:
        return _POSITIONS
    for length in (2, 1):
        text = _PATTERNS.get(".".join(words[-length:]))
        if text:
            return text
    return _RESOURCE_NAME


def _other(error: _Found) -> str:
    return f"found {found(error.value)}: {error.said[:1].lower()}{error.said[1:]}"


_MESSAGES: dict[str, Callable[[_Found], str]] = {
    "extra_forbidden": lambda e: _unknown(e.path),
    "missing": lambda e: _missing(e.path),
    "string_type": lambda e: _text_wanted(e.value, e.text),
    **dict.fromkeys(("int_type", "int_from_float", "float_type"), lambda e: _number_wanted(e.path, e.value)),
    "bool_type": lambda e: f"found {found(e.value)}, expected true or false",
    "literal_error": lambda e: _choice(e.value, str(e.context["expected"]), e.text),
    "list_type": lambda e: f"found {found(e.value)}, expected a list{_as_list(e.path, e.value)}",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), lambda e: _mapping_wanted(e.path, e.value)),
    **dict.fromkeys(
        ("greater_than_equal", "less_than_equal"),
        lambda e: f"found {_number(e.value)}, expected {_range(e.path, e.context)}",
    ),
    **dict.fromkeys(("too_short", "too_long"), lambda e: _length(e.kind, e.value, e.context)),
    "string_too_short": lambda _: "this is an empty string; give it a value or leave it out",
    "string_too_long": lambda e: _too_long_text(e.path, e.value, int(e.context["max_length"])),
    "string_pattern_mismatch": lambda e: f"found {found(e.value)}; {_pattern(e.path)}",
    "quantity": lambda e: f"found {found(e.value)}; {e.said}",
    **dict.fromkeys(("repeated", "said"), lambda e: e.said),
}
"""The message for an error, by pydantic's word for its kind; `quantity`, `repeated` and `said` are kinds of ours."""
