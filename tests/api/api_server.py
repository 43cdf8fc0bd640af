"""The part of an API server that decides whether a resource is stored: schema, defaults, list types and CEL rules."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import cel
from jsonschema import Draft202012Validator

from shuffle_operator.api.schema import crd

Schema = dict[str, Any]


class ApiServer:
    """`refuses(job, old)` gives what a server with our CRD would answer; an empty list: stored."""

    def __init__(self) -> None:
        self.schema: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        self.validator = Draft202012Validator(_as_json_schema(self.schema))

    def refuses(self, job: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
        job = self.defaulted(job)
        answers = [f"{error.json_path}: {error.message}" for error in self.validator.iter_errors(job)]
        if answers:
            return answers
        answers += _unknown(self.schema, job, "")
        answers += _lists(self.schema, job)
        return answers + list(_rules(self.schema, job, self.defaulted(old) if old is not None else None))

    def defaulted(self, job: dict[str, Any]) -> dict[str, Any]:
        result = copy.deepcopy(job)
        _default(self.schema, result)
        return result


def _as_json_schema(schema: Schema) -> Schema:
    result: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _as_json_schema(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = _as_json_schema(value)
        elif key == "x-kubernetes-int-or-string":
            result["type"] = ["integer", "string"]
        elif not key.startswith("x-") and key != "format":
            result[key] = value
    return result


def _default(schema: Schema, value: Any) -> None:
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name not in value and "default" in child:
                value[name] = copy.deepcopy(child["default"])
            if name in value:
                _default(child, value[name])
    elif isinstance(value, list):
        for item in value:
            _default(schema["items"], item)


def _unknown(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """What `kubectl apply` refuses as an unknown field (and an older server drops)."""
    if isinstance(value, dict) and "properties" in schema:
        for name, child in value.items():
            if name not in schema["properties"]:
                yield f"unknown field {path}.{name}"
            elif path or name != "metadata":
                yield from _unknown(schema["properties"][name], child, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(schema["items"], item, f"{path}[]")


def _lists(schema: Schema, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        kind = schema["x-kubernetes-list-type"]
        keys = schema.get("x-kubernetes-list-map-keys", [])
        names = [tuple(item[key] for key in keys) for item in value] if kind == "map" else value
        if kind != "atomic" and len(set(names)) < len(names):
            yield "Duplicate value"
        for item in value:
            yield from _lists(schema["items"], item)
    elif isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _lists(child, value[name])


def _rules(schema: Schema, value: Any, old: Any) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        transition = "oldSelf" in rule["rule"]
        if transition and old is None:
            continue
        names = {"self": _escaped(value)} | ({"oldSelf": _escaped(old)} if transition else {})
        if not cel.evaluate(rule["rule"], names):
            yield rule["message"]
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _rules(child, value[name], old.get(name) if isinstance(old, dict) else None)
    elif isinstance(value, list):
        for item in value:
            yield from _rules(schema["items"], item, None)


CEL_WORDS = {
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
}  # fmt: skip


def _escaped(value: Any) -> Any:
    """Kubernetes' names for fields that are words of CEL; fields whose names are no identifiers cannot be reached."""
    if isinstance(value, dict):
        return {
            f"__{name}__" if name in CEL_WORDS else name: _escaped(child)
            for name, child in value.items()
            if re.fullmatch(r"\w+", name)
        }
    return [_escaped(item) for item in value] if isinstance(value, list) else value
