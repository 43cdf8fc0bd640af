"""What an operator allows: each path, each link of a chain, each option that names a protocol, each function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shuffle_operator.api.problems import path_text
from shuffle_operator.api.restrictions import Restrictions, protocols_of, restriction_problems
from shuffle_operator.api.schema import structural
from shuffle_operator.api.spec import Spec
from shuffle_operator.api.types import FunctionName
from shuffle_operator.api.validation import check_job, load_job
from shuffle_protocol.errors import InvalidSpec

PROJECT = Path(__file__).parents[2]
STORES = Restrictions(frozenset({"s3", "gs", "https"}))


def default() -> Restrictions:
    """The chart's."""
    values = yaml.safe_load((PROJECT / "charts/shuffle-operator/values.yaml").read_text(encoding="utf-8"))
    return Restrictions(frozenset(values["allowedProtocols"]), values["allowFunctions"])


def found(allowed: Restrictions = STORES, **spec: Any) -> dict[str, str]:
    """Field -> what is said of it."""
    given = {
        "operation": {"groupBy": {"by": ["a"], "apply": "m:f"}},
        "inputs": [{"path": "s3://bucket/in/"}],
        "output": {"path": "s3://bucket/out/"},
    } | spec
    body = {"apiVersion": "shuffle-operator.dev/v1alpha1", "kind": "ShuffleJob", "metadata": {"name": "x"}}
    return {path_text(p.path): p.message for p in restriction_problems(check_job({**body, "spec": given}), allowed)}


@pytest.mark.parametrize(
    ("url", "protocols"),
    [
        ("s3://b/a", ["s3"]),
        ("S3://b/a", ["s3"]),
        ("/a/b", [""]),
        ("a/b", [""]),
        ("file:/a", [""]),
        ("file:///a", ["file"]),
        ("simplecache::s3://b/a", ["simplecache", "s3"]),
        ("zip://x::file:///a", ["zip", "file"]),
        ("zip://x::/etc/a.zip", ["zip", ""]),
        ("s3://b/a::memory", ["s3", "memory"]),
        ("s3://b/a::file://c", ["s3", "file"]),
        ("s3://b/x::", ["s3", ""]),
        ("://a", [""]),
        ("s3://b/file://a", ["s3"]),
    ],
)
def test_every_link_has_a_protocol_or_is_a_plain_path(url: str, protocols: list[str]) -> None:
    assert protocols_of(url) == protocols


REFUSED = [
    "file:///etc/passwd",
    "local:///a",
    "memory://a",
    "/etc/passwd",
    "etc",
    "../a",
    "http://10.0.0.1/",
    "simplecache::s3://b/a",
    "s3://b/a::file:///etc",
    "reference://::s3://b/a",
    "ftp://h/a",
    "FILE:///a",
]


@pytest.mark.parametrize("path", REFUSED)
def test_a_path_is_refused_wherever_it_is(path: str) -> None:
    source = {"path": path + ".py"} if not path.endswith("/") else {"path": path + "m.py"}
    cases: dict[str, dict[str, Any]] = {
        "spec.inputs[0].path": {"inputs": [{"path": path}]},
        "spec.inputs[0].paths[1]": {"inputs": [{"paths": ["s3://bucket/a/", path]}]},
        "spec.output.path": {"output": {"path": path}},
        "spec.functions.sources[0].path": {"functions": {"sources": [source]}},
    }
    for field, spec in cases.items():
        said = found(**spec)
        assert said.keys() == {field}
        assert "this operator allows gs://, https://, s3:// (allowedProtocols)" in said[field]


def test_what_is_found_is_named() -> None:
    said = found(inputs=[{"path": "zip://x::file:///etc/a.zip"}])["spec.inputs[0].path"]
    assert said.startswith('found zip://, file:// in "zip://x::file:///etc/a.zip"; this operator allows')
    assert found(inputs=[{"path": "/etc/passwd"}])["spec.inputs[0].path"].startswith("found a path of the worker's own")


@pytest.mark.parametrize("value", ["file", "FILE", "", "s3::file"])
def test_options_name_no_other_protocol(value: str) -> None:
    options = {"target_protocol": value, "anon": True}
    said = found(inputs=[{"path": "s3://bucket/in/", "storage": {"options": options}}])
    assert said.keys() == {"spec.inputs[0].storage.options.target_protocol"}
    said = found(output={"path": "s3://bucket/out/", "storage": {"options": options}})
    assert said.keys() == {"spec.output.storage.options.target_protocol"}
    assert not found(inputs=[{"path": "s3://bucket/in/", "storage": {"options": {"target_protocol": "gs"}}}])


def test_functions_can_be_forbidden() -> None:
    spec = {
        "inputs": [{"path": "s3://bucket/in/", "reader": "m:read"}],
        "functions": {"sources": [{"configMapRef": {"name": "mine"}}]},
    }
    assert not found(**spec)
    said = found(Restrictions(functions=False), **spec)
    assert said.keys() == {"spec.inputs[0].reader", "spec.operation.groupBy.apply", "spec.functions"}
    assert "found m:read; this operator lets no job bring functions" in said["spec.inputs[0].reader"]


CALLED: dict[str, dict[str, Any]] = {
    "spec.inputs[0].reader": {"inputs": [{"path": "s3://bucket/in/", "reader": "m:f"}]},
    "spec.inputs[0].map": {"inputs": [{"path": "s3://bucket/in/", "map": "m:f"}]},
    "spec.operation.groupBy.apply": {"operation": {"groupBy": {"by": ["a"], "apply": "m:f"}}},
    "spec.operation.rechunk.apply": {
        "operation": {"rechunk": {"apply": "m:f"}},
        "output": {"path": "s3://bucket/out/", "format": "Zarr"},
    },
}
"""A job for each field that names a function."""


@pytest.mark.parametrize("field", CALLED)
def test_every_function_can_be_forbidden(field: str) -> None:
    spec = {"operation": {"sort": {"by": [{"column": "a"}]}}} | CALLED[field]
    assert not found(**spec, backend="Gpu")  # whose rule knows the same fields
    assert found(Restrictions(functions=False), **spec).keys() == {field}


def test_no_field_that_names_a_function_is_forgotten() -> None:
    pattern = next(each.pattern for each in get_args(FunctionName)[1].metadata if hasattr(each, "pattern"))
    assert set(fields_with(pattern, structural(Spec), "spec")) == {field.replace("[0]", "[]") for field in CALLED}


def fields_with(pattern: str, schema: Any, path: str) -> Iterator[str]:
    """Paths of the fields with this pattern."""
    if schema.get("pattern") == pattern:
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from fields_with(pattern, inner, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            yield from fields_with(pattern, schema[key], path + mark)


def test_everything_is_allowed_where_nothing_is_restricted() -> None:
    for path in REFUSED:
        assert not found(Restrictions(), inputs=[{"path": path}])


@pytest.mark.parametrize(
    "file", sorted((PROJECT / "examples").rglob("*.yaml")), ids=lambda file: str(file.relative_to(PROJECT / "examples"))
)
def test_examples_for_a_cluster_are_allowed_by_the_chart(file: Path) -> None:
    """Those of one machine have local paths; the others must not."""
    try:
        job = load_job(file)
    except InvalidSpec:
        pytest.skip("no job, or several")
    if "kubernetes" in file.parts or "cluster" in file.name:
        assert not list(restriction_problems(job, default()))
