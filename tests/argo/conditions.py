"""When Argo Workflows takes a resource step for successful or failed: its semantics, for tests of our status.

Argo parses `successCondition` and `failureCondition` as Kubernetes label selectors, and looks the keys up as paths in
the resource's JSON. Three things follow that one would not guess, and that a condition must survive: a key is a path to
a scalar, for a label's key holds no brackets; a value must be fit for a label; and the step has failed as soon as *any*
requirement of the failure condition holds, but succeeds only when *all* of the success condition's do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_TOKEN = re.compile(r"\s*(==|!=|[!=<>(),]|[^\s!=<>(),]+)")

Verdict = Literal["success", "failure", "waiting"]


class BadSelector(ValueError):
    """Argo fails the step at once, saying that the condition cannot be parsed."""


@dataclass(frozen=True)
class Requirement:
    """operator: exists, !, in, notin, > or <; = and == are in, != is notin."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, resource: Mapping[str, Any]) -> bool:
        value = look_up(resource, self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
        if value is None or not re.fullmatch(r"[+-]?[0-9]+", value):
            return False
        return int(value) > int(self.values[0]) if self.operator == ">" else int(value) < int(self.values[0])


def verdict(resource: Mapping[str, Any], success: str, failure: str) -> Verdict:
    """What a step makes of a resource at one look. Failure is looked at first."""
    if any(requirement.holds(resource) for requirement in parse(failure)):
        return "failure"
    if all(requirement.holds(resource) for requirement in parse(success)):
        return "success"
    return "waiting"


def look_up(resource: Mapping[str, Any], path: str) -> str | None:
    """The value at a dotted path as text, None where there is none. A number selects of a list."""
    value: Any = resource
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, Mapping | list) else str(value)


def parse(selector: str) -> list[Requirement]:
    """The requirements of a selector; none of an empty one. Raises BadSelector."""
    tokens = _tokens(selector)
    found: list[Requirement] = []
    while tokens:
        found.append(_requirement(tokens))
        if tokens and (tokens.pop(0) != "," or not tokens):
            raise BadSelector(f"{selector!r}: expected a comma between requirements")
    return found


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match is not None
        tokens.append(match[1])
        position = match.end()
    return tokens


def _requirement(tokens: list[str]) -> Requirement:
    if tokens[0] == "!":
        tokens.pop(0)
        return Requirement(_key(tokens), "!")
    key = _key(tokens)
    if not tokens or tokens[0] == ",":
        return Requirement(key, "exists")
    operator = tokens.pop(0)
    if operator in ("in", "notin"):
        return Requirement(key, operator, _listed(tokens))
    if operator not in ("=", "==", "!=", "<", ">"):
        raise BadSelector(f"{operator!r} is no operator")
    value = tokens.pop(0) if tokens and tokens[0] != "," else ""
    if operator in "<>" and not re.fullmatch(r"[+-]?[0-9]+", value):
        raise BadSelector(f"{operator} needs a whole number, not {value!r}")
    kind = {"=": "in", "==": "in", "!=": "notin"}.get(operator, operator)
    return Requirement(key, kind, (_value(value),))


def _key(tokens: list[str]) -> str:
    key = tokens.pop(0) if tokens else ""
    prefix, slash, name = key.rpartition("/")
    if (slash and not _PREFIX.fullmatch(prefix)) or not name or not VALUE.fullmatch(name):
        raise BadSelector(f"{key!r} is no label's key")
    return key


def _listed(tokens: list[str]) -> tuple[str, ...]:
    if not tokens or tokens.pop(0) != "(" or ")" not in tokens:
        raise BadSelector("in and notin need values in parentheses")
    end = tokens.index(")")
    inner = tokens[:end]
    del tokens[: end + 1]
    values = " ".join(inner).split(",") if inner else [""]
    return tuple(_value(value.strip()) for value in values)


def _value(value: str) -> str:
    if not VALUE.fullmatch(value):
        raise BadSelector(
            f"{value!r} is no label's value: at most 63 of A-Z a-z 0-9 - _ . with a letter or digit at each end"
        )
    return value
