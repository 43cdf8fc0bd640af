"""The CustomResourceDefinition, made from the models and the rules. `api/generate.py` writes it to its files.

Kubernetes accepts less than JSON schema: a *structural* schema has a type everywhere, no references, no alternatives of
types. So references are put in place here, "or null" is dropped (an absent field is absent), and what the models say
beyond the schema (unique lists, rules over several fields) becomes the list types and CEL rules of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from shuffle_operator.api import rules
from shuffle_operator.api.fields import by_name
from shuffle_operator.api.spec import API_VERSION, GROUP, KIND, PLURAL, VERSION, ShuffleJob, Spec
from shuffle_operator.api.status import Status
from shuffle_operator.api.types import INT32_MAX
from shuffle_operator.api.workers import Workers

Schema = dict[str, Any]

HEADER = "# Generated from operator/shuffle_operator/api by `make crds`; change the models instead.\n"

UNSEEN = {
    "phase": "Pending",
    "message": "Pending: no operator has seen this job yet; if this stays, its namespace is not served, or the "
    "operator does not run or lacks rights: kubectl logs deployment/shuffle-operator says which",
}
"""The status of a job that no operator has written one for, which the API server fills in: where the operator cannot
reach a job, nobody else can say so."""

_DROPPED = {"title", "$defs", "propertyNames"}
_NESTED = {"properties", "items", "additionalProperties"}
_COLUMNS = (
    ("Phase", "string", ".status.phase", 0, "Where the job stands."),
    ("Progress", "integer", ".status.progress", 0, "Percent."),
    ("Workers", "integer", ".status.workers.ready", 0, "Workers that are registered and alive."),
    ("Rows", "integer", ".status.rows.read", 0, "Rows read from the input."),
    ("Method", "string", ".status.method", 1, "How rows travel."),
    ("Message", "string", ".status.message", 1, "What is going on, in one sentence."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the job was created."),
)


def crd() -> Schema:
    """The resource definition as plain data."""
    spec = structural(Spec)
    job: Schema = {
        "type": "object",
        "description": (ShuffleJob.__doc__ or "").strip(),
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"The API's version: {API_VERSION}."},
            "kind": {"type": "string", "description": f"The kind of object: {KIND}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _without_defaults(structural(Status)),
        },
    }
    job["properties"]["spec"]["description"] = " ".join((Spec.__doc__ or "").split())
    job["properties"]["status"]["description"] = " ".join((Status.__doc__ or "").split())
    job["properties"]["status"]["default"] = dict(UNSEEN)
    _add_rules(job)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": PLURAL.removesuffix("s"),
                "shortNames": ["shj"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": text}
                        for name, kind, path, priority, text in _COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": job},
                }
            ],
        },
    }


def crd_yaml() -> str:
    """The resource definition as it is in crds/."""
    return HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Mapping[str, Any], defs: Mapping[str, Schema]) -> Schema:
    merged = _merged(node, defs)
    result: Schema = {}
    for key in ("description", "type", "format"):
        if key in merged:
            result[key] = " ".join(merged[key].split())
    for key, value in merged.items():
        if key == "const":
            result["enum"] = [value]
        elif key in _NESTED:
            _add_nested(result, key, value, defs)
        elif key not in _DROPPED and key not in result and (key, value) != ("default", None):
            result[key] = value
    _as_kubernetes_has_it(result)
    return result


def _add_nested(result: Schema, key: str, value: Any, defs: Mapping[str, Schema]) -> None:
    """The schemas that a schema holds. additionalProperties is one, or says only whether there may be others."""
    if key == "properties":
        result[key] = {name: _structural(child, defs) for name, child in value.items()}
    elif isinstance(value, dict):
        result[key] = _structural(value, defs)


def _as_kubernetes_has_it(result: Schema) -> None:
    """What a structural schema says beyond JSON schema: the width of integers, how lists are merged."""
    if result.get("type") == "integer":
        result["format"] = "int32" if result.get("maximum", INT32_MAX + 1) <= INT32_MAX else "int64"
    if result.get("type") == "array":
        result.setdefault("x-kubernetes-list-type", "atomic")
    if result.get("x-kubernetes-preserve-unknown-fields"):
        result.pop("additionalProperties", None)


def _without_defaults(schema: Schema) -> Schema:
    """For the status: what the API server would add to it, the operator would find changed, and write again."""
    return {
        key: [_without_defaults(each) if isinstance(each, dict) else each for each in value]
        if isinstance(value, list)
        else _without_defaults(value)
        if isinstance(value, dict)
        else value
        for key, value in schema.items()
        if key != "default"
    }


def _merged(node: Mapping[str, Any], defs: Mapping[str, Schema]) -> Schema:
    """A node with its reference, and what it is when it is not null, put in place; what it says itself goes first."""
    result = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    inner: Mapping[str, Any] = {}
    if "$ref" in node:
        inner = defs[node["$ref"].rpartition("/")[2]]
    elif "anyOf" in node:
        real = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(real) != 1:
            raise ValueError(f"a structural schema has no alternatives: {node['anyOf']}")
        inner = real[0]
    else:
        return result
    return {**_merged(inner, defs), **result}


def _add_rules(job: Schema) -> None:
    for rule in rules.RULES:
        _add_rule(_at(job, rule.scope), rule.cel, rule.message)
    spec = job["properties"]["spec"]
    _add_rule(spec, rules.APART_CEL, rules.APART_MESSAGE)
    for name in rules.FROZEN:
        _add_rule(spec, rules.frozen_cel(name), f"{name} cannot be changed; delete the job and create another")
    for name in by_name(Workers):
        if name not in rules.FROZEN_WORKERS_BUT:
            message = f"workers.{name} can be changed only while the job is suspended"
            _add_rule(spec, rules.frozen_worker_cel(name), message)


def _add_rule(schema: Schema, cel: str, message: str) -> None:
    schema.setdefault("x-kubernetes-validations", []).append({"rule": cel, "message": message})


def _at(job: Schema, scope: str) -> Schema:
    """The schema of the objects that a rule is about."""
    schema = job
    for step in scope.split(".") if scope else []:
        schema = schema["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            schema = schema["items"]
    return schema
