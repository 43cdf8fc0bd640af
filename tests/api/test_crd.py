"""The CRD is one that Kubernetes takes, and refuses what `shuffle validate` refuses."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shuffle_operator.api import rules
from shuffle_operator.api.fields import by_name
from shuffle_operator.api.generate import generated
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.schema import crd, crd_yaml
from shuffle_operator.api.spec import Spec
from shuffle_operator.api.status import REASONS, Status
from shuffle_operator.api.validation import check_job
from shuffle_protocol.errors import REASONS as ERRORS
from shuffle_protocol.messages import Phase

PROJECT = Path(__file__).parents[2]

Schema = dict[str, Any]


@pytest.mark.parametrize("path", list(generated()))
def test_generated_files_are_what_the_models_say(path: str) -> None:
    assert (PROJECT / path).read_text(encoding="utf-8") == generated()[path], "run `make crds` and commit the result"


def root() -> Schema:
    schema: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nodes(schema[name], f"{path}[]")


ALLOWED = {
    "type", "format", "description", "properties", "required", "items", "additionalProperties", "enum", "default",
    "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
    "maxProperties", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "not",
}  # fmt: skip


def test_the_schema_is_structural() -> None:
    for path, node in nodes(root()):
        assert set(node) <= ALLOWED, path
        if node.get("x-kubernetes-int-or-string"):
            assert "type" not in node, path
        else:
            assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert not {"properties", "additionalProperties"} <= set(node), path
        assert ("items" in node) == (node.get("type") == "array"), path
        assert set(node.get("required", [])) <= set(node.get("properties", {})), path
        if node.get("x-kubernetes-list-type") == "map":
            keys = node["x-kubernetes-list-map-keys"]
            assert set(keys) <= set(node["items"]["required"]), path
        if node.get("x-kubernetes-list-type") == "set":
            assert node["items"]["type"] == "string", path


def test_everything_in_the_spec_is_described_and_limited() -> None:
    for path, node in nodes(root()["properties"]["spec"], "spec"):
        if not path.endswith("[]"):
            assert len(node["description"]) > 5, path
        kind = node.get("type")
        if kind == "string":
            assert "maxLength" in node or "enum" in node, path
        if kind == "array":
            assert "maxItems" in node, path
        if kind in ("integer", "number"):
            assert {"minimum", "maximum"} <= set(node), path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_the_status_cannot_grow_with_the_job() -> None:
    lists = [path for path, node in nodes(root()["properties"]["status"]) if node.get("type") == "array"]
    assert lists == [".conditions"]
    assert all("additionalProperties" not in node for _, node in nodes(root()["properties"]["status"]))


def test_the_definition_fits_into_an_annotation_and_names_itself() -> None:
    text = crd_yaml()
    assert len(json.dumps(crd())) < 200_000  # kubectl apply keeps it in one of 262,144 bytes at most
    definition = yaml.safe_load(text)
    assert definition == crd()
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == f"{names['plural']}.{definition['spec']['group']}"
    assert (names["shortNames"], names["categories"]) == (["shj"], ["all"])
    version = definition["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    columns = {column["name"]: column for column in version["additionalPrinterColumns"]}
    assert [name for name, column in columns.items() if column["priority"] == 0] == [
        "Phase", "Progress", "Workers", "Rows", "Age",
    ]  # fmt: skip
    schema_paths = {path for path, _ in nodes(version["schema"]["openAPIV3Schema"])}
    assert all(column["jsonPath"] in schema_paths for name, column in columns.items() if name != "Age")


def test_cel_rules_use_only_what_every_server_has() -> None:
    functions = {"has", "size", "matches", "startsWith", "all", "exists_one"}
    for path, node in nodes(root()):
        for rule in node.get("x-kubernetes-validations", []):
            called = {word.rpartition(".")[2].strip("!( &|") for word in _calls(rule["rule"])}
            assert called <= functions, (path, rule)
            assert len(rule["message"]) < 2048


def _calls(rule: str) -> Iterator[str]:
    yield from (match[1] for match in re.finditer(r"([A-Za-z_.]+)\(", rule))


def test_phases_and_reasons_are_those_of_the_protocol() -> None:
    assert root()["properties"]["status"]["properties"]["phase"]["enum"] == [phase.value for phase in Phase]
    assert set(ERRORS) <= set(REASONS)


MUTABLE = {"suspend", "workers", "activeDeadlineSeconds", "ttlSecondsAfterFinished"}


def test_every_field_of_the_spec_is_either_frozen_or_may_change() -> None:
    assert set(rules.FROZEN) | MUTABLE == set(by_name(Spec))
    assert not set(rules.FROZEN) & MUTABLE


# -- the server and the operator agree -------------------------------------------------------------------------------

JOIN = {"left": "a", "right": "b", "on": ["id"]}
TWO = [{"name": "a", "path": "s3://x/a"}, {"name": "b", "path": "s3://x/b"}]
AS_OF = JOIN | {"type": "AsOf", "asOf": {"left": "ts", "right": "at"}}
THREE = [*TWO, {"name": "c", "path": "s3://x/c"}]
STAR: dict[str, Any] = {
    "left": "a",
    "sides": [{"right": "b", "on": ["id"], "type": "Left"}, {"right": "c", "leftOn": ["x"], "rightOn": ["y"]}],
}  # fmt: skip
MEAN = {"function": "mean", "column": "x"}

GOOD: list[dict[str, Any]] = [
    {},
    {"operation": {"repartition": {}}},
    {"operation": {"repartition": {"random": {"seed": 42}}}},
    {"operation": {"repartition": {"random": {"seed": (1 << 53) - 1}}}, "output": {"path": "x", "partitionBy": ["a"]}},
    {
        "operation": {"repartition": {"range": ["ts"]}},
        "output": {"path": "/out", "partitions": 8, "sortWithin": ["ts"]},
    },
    {"operation": {"sort": {"by": [{"column": "ts", "order": "Descending", "nulls": "First"}, {"column": "id"}]}}},
    {"operation": {"join": JOIN}, "inputs": TWO},
    {"backend": "Gpu", "operation": {"groupBy": {"by": ["a"], "apply": "m:f"}}},
    {"backend": "Gpu", "inputs": [{"path": "a", "map": "m:f"}]},
    {"backend": "Gpu", "inputs": [{"path": "a", "reader": "m:f"}]},
    {"backend": "Cpu"},
    {
        "inputs": [{"path": "a", "map": "m:f", "mapSchema": [{"name": "x", "type": "int64"}]}],
        "functions": {"timeoutSeconds": 60},
        "operation": {"repartition": {"by": ["x"]}},
    },
    {"operation": {"join": {"left": "a", "right": "b", "leftOn": ["x"], "rightOn": ["y"]}}, "inputs": TWO},
    {"inputs": TWO},
    {"inputs": [{"path": "s3://x/a"}, {"path": "s3://x/b"}, {"name": "c", "nameAs": "from", "path": "s3://x/c"}]},
    {"operation": {"join": AS_OF}, "inputs": TWO},
    {"operation": {"join": JOIN | {"type": "RightAnti", "where": "l.t < r.t"}}, "inputs": TWO},
    {"operation": {"join": {"left": "a", "right": "b", "type": "Cross"}}, "inputs": TWO},
    {"operation": {"join": STAR}, "inputs": THREE},
    {
        "operation": {"join": {"left": "a", "sides": [{"right": "b", "type": "Cross", "where": "l.x = 1"}]}},
        "inputs": TWO,
    },
    {"operation": {"join": STAR | {"type": "Inner", "nullsEqual": False, "suffixes": ["", "_right"]}}, "inputs": THREE},
    {"operation": {"join": {"left": "a", "right": "b", "type": "Cross", "where": "l.t < r.t"}}, "inputs": TWO},
    {
        "operation": {
            "join": AS_OF
            | {
                "asOf": {
                    "left": "t",
                    "right": "t",
                    "direction": "Nearest",
                    "tolerance": "1h30m",
                    "allowExactMatches": False,
                }
            }
        },
        "inputs": TWO,
    },
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": 5}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": "0.5"}}}, "inputs": TWO},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN, {"function": "count", "as": "n"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "apply": "pkg.mod:f", "schema": [{"name": "n", "type": "int64"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [{"function": "size"}], "nulls": "Drop"}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "approxQuantile", "quantile": 1}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "corr", "with": "b"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "largest", "values": 2}]}}},
    {"operation": {"distinct": {"keep": "Last"}}},
    {"operation": {"distinct": {"by": ["k"], "orderBy": [{"column": "ts", "order": "Descending"}], "rows": 3}}},
    {"operation": {"distinct": {"rows": 2}}},
    {"operation": {"cluster": {"by": ["user_id", "ts"]}}},
    {"operation": {"cluster": {"by": ["a", "b", "c"], "curve": "ZOrder"}}, "output": {"path": "x", "partitions": 9}},
    {
        "operation": {
            "rechunk": {
                "apply": "a.b:c",
                "overlap": {"depth": {"x": 1, "y": "2:0"}, "boundary": "0.5", "boundaries": {"y": "None", "x": -3}},
                "dtype": "datetime64[ns]",
            }
        },
        "inputs": [{"path": "s3://x/a.zarr", "format": "Zarr"}],
    },
    {"operation": {"window": {"by": ["k"], "compute": {"c": "row_number()"}}}},
    {
        "operation": {"window": {"by": ["k"], "orderBy": [{"column": "t"}], "compute": {"c": "sum(x)", "d": "lag(x)"}}},
        "output": {"path": "x", "filter": "c > 1", "sortWithin": ["t"]},
    },
    {"operation": {"rechunk": {"chunks": {"time": 8760}}}, "inputs": [{"path": "s3://x/a.zarr", "format": "Zarr"}]},
    {"inputs": [{"paths": ["s3://x/a", "s3://x/b"], "columns": ["user_id"], "filter": "a > 1"}]},
    {"output": {"path": "/b", "compute": {"x": "a + b"}, "filter": "x > 1", "columns": ["x"]}},
    {"inputs": [{"path": "s3://x/a", "compute": {"day": "date_trunc('day', ts)", "email": "lower(email)"}}]},
    {"inputs": [{"path": "s3://x/a", "storage": {"secretRef": {"name": "s"}, "options": {"anon": True}}}]},
    {"output": {"path": "s3://bucket/o", "targetPartitionSize": "1Gi", "compression": "None"}},
    {"workers": {"replicas": 4, "resources": {"limits": {"memory": "4Gi", "ephemeral-storage": "1Ti", "cpu": 2}}}},
    {"workers": {"minReplicas": 2, "maxReplicas": 2, "scratch": {"sizeLimit": "10Gi", "medium": "Memory"}}},
    {
        "workers": {
            "env": [{"name": "A", "value": ""}],
            "envFrom": [{"secretRef": {"name": "s"}}],
            "podTemplate": {"a": 1},
        }
    },
    {"workers": {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"a": "b"}, "affinity": {"x": {"y": [1]}}}},
    {"suspend": True, "ttlSecondsAfterFinished": 0, "managedBy": "kueue", "recovery": {"retainShards": True}},
]

BAD: list[dict[str, Any]] = [
    {"operation": {}},
    {"operation": {"sort": {"by": [{"column": "a"}]}, "repartition": {}}},
    {"operation": {"sort": {"by": []}}},
    {"operation": {"sort": {"by": [{"column": "a"}, {"column": "a", "order": "Descending"}]}}},
    {"operation": {"sort": {"by": ["a"]}}},
    {"operation": {"repartition": {"by": ["a"], "range": ["a"]}}},
    {"operation": {"repartition": {"by": ["a", "a"]}}},
    {"operation": {"repartition": {"by": ["a"], "random": {"seed": 1}}}},
    {"operation": {"repartition": {"range": ["a"], "random": {"seed": 1}}}},
    {"operation": {"repartition": {"random": {}}}},
    {"operation": {"repartition": {"random": {"seed": -1}}}},
    {"operation": {"repartition": {"random": {"seed": 1 << 53}}}},
    {"operation": {"repartition": {"random": {"seed": 1.5}}}},
    {"operation": {"repartition": {"random": {"seed": 1}}}, "output": {"path": "x", "sortWithin": ["a"]}},
    {"operation": {"shuffle": {}}},
    {"operation": {"join": JOIN}},
    {"operation": {"join": JOIN}, "inputs": [TWO[0], TWO[0]]},
    {"operation": {"join": JOIN}, "inputs": [TWO[0], {"path": "s3://x/b"}]},
    {"operation": {"join": JOIN | {"right": "a"}}, "inputs": TWO},
    {"operation": {"join": JOIN | {"leftOn": ["a"], "rightOn": ["a"]}}, "inputs": TWO},
    {"operation": {"join": {"left": "a", "right": "b", "leftOn": ["x"]}}, "inputs": TWO},
    {"operation": {"join": {"left": "a", "right": "b", "leftOn": ["x"], "rightOn": ["x", "y"]}}, "inputs": TWO},
    {"inputs": [TWO[0], TWO[1], TWO[0]]},
    {"inputs": [{"path": "s3://x/a", "nameAs": "from"}]},
    {"operation": {"rechunk": {}}, "inputs": TWO},
    {"operation": {"join": JOIN | {"type": "AsOf"}}, "inputs": TWO},
    {"operation": {"join": JOIN | {"type": "Cross"}}, "inputs": TWO},
    {"operation": {"join": {"left": "a", "on": ["id"]}}, "inputs": TWO},
    {"operation": {"join": STAR}, "inputs": TWO},
    {"operation": {"join": STAR | {"right": "b"}}, "inputs": THREE},
    {"operation": {"join": STAR | {"on": ["id"]}}, "inputs": THREE},
    {"operation": {"join": STAR | {"type": "Left"}}, "inputs": THREE},
    {"operation": {"join": STAR | {"nullsEqual": True}}, "inputs": THREE},
    {"operation": {"join": STAR | {"suffixes": ["", "_x"]}}, "inputs": THREE},
    {"operation": {"join": STAR}, "inputs": [TWO[0], TWO[1], TWO[1]]},
    {"operation": {"join": STAR | {"sides": [STAR["sides"][0]] * 2}}, "inputs": THREE},
    {"operation": {"join": STAR | {"sides": [{"right": "a", "on": ["id"]}, STAR["sides"][1]]}}, "inputs": THREE},
    {"operation": {"join": STAR | {"sides": [{"right": "b"}, STAR["sides"][1]]}}, "inputs": THREE},
    {
        "operation": {"join": STAR | {"sides": [{"right": "b", "on": ["id"], "type": "Full"}, STAR["sides"][1]]}},
        "inputs": THREE,
    },
    {"operation": {"join": STAR | {"sides": []}}, "inputs": TWO[:1]},
    {
        "operation": {"join": {"left": "a", "right": "b", "type": "Cross", "leftOn": ["a"], "rightOn": ["a"]}},
        "inputs": TWO,
    },
    {"operation": {"join": {"left": "a", "right": "b", "where": "l.t < r.t"}}, "inputs": TWO},
    {"operation": {"join": JOIN | {"where": ""}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"where": "l.t < r.t"}}, "inputs": TWO},
    {"operation": {"join": JOIN | {"asOf": AS_OF["asOf"]}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t"}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": "5 m"}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": "1.5h"}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": -5}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "tolerance": True}}}, "inputs": TWO},
    {"operation": {"join": AS_OF | {"asOf": {"left": "t", "right": "t", "direction": "Before"}}}, "inputs": TWO},
    {"operation": {"groupBy": {"by": ["k"]}}},
    {
        "operation": {
            "groupBy": {"by": ["k"], "aggregations": [{"function": "count"}], "schema": [{"name": "n", "type": "int8"}]}
        }
    },
    {"functions": {"sources": [{}]}},
    {"functions": {"sources": [{"path": "a.zip", "configMapRef": {"name": "code"}}]}},
    {"functions": {"sources": [{"configMapRef": {"name": "code"}, "sha256": "0" * 64}]}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [{"function": "mean"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "quantile"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "size"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "corr"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"with": "b"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"function": "smallest"}]}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN], "nulls": "Ignore"}}},
    {"operation": {"groupBy": {"by": ["k"], "aggregations": [MEAN | {"quantile": 0.5}]}}},
    {"operation": {"cluster": {"by": ["a"]}}},
    {"operation": {"cluster": {"by": ["a", "a"]}}},
    {"operation": {"cluster": {"by": [f"c{n}" for n in range(9)]}}},
    {"operation": {"cluster": {"by": ["a", "b"], "curve": "Peano"}}},
    {"operation": {"cluster": {"by": ["a", "b"]}}, "output": {"path": "x", "sortWithin": ["a"]}},
    {"operation": {"window": {"compute": {"c": "row_number()"}}}},
    {"operation": {"window": {"by": ["k"]}}},
    {"operation": {"window": {"by": [], "compute": {"c": "row_number()"}}}},
    {"operation": {"window": {"by": ["k"], "compute": {}}}},
    {"operation": {"window": {"by": ["k"], "compute": {"c": ""}}}},
    {"operation": {"window": {"by": ["k", "k"], "compute": {"c": "row_number()"}}}},
    {"operation": {"window": {"by": ["k"], "orderBy": ["t"], "compute": {"c": "row_number()"}}}},
    {"operation": {"distinct": {"orderBy": [{"column": "ts"}]}}},
    {"operation": {"distinct": {"by": ["k"], "orderBy": []}}},
    {"operation": {"distinct": {"by": ["k"], "orderBy": ["ts"]}}},
    {"operation": {"distinct": {"by": ["k"], "orderBy": [{"column": "a"}, {"column": "a"}]}}},
    {"operation": {"distinct": {"by": ["k"], "rows": 0}}},
    {"operation": {"distinct": {"by": ["k"], "rows": 1_000_001}}},
    {"operation": {"rechunk": {"chunks": {"time": 0}}}},
    {"operation": {"rechunk": {"overlap": {"depth": {"time": 1}}}}},
    {"operation": {"rechunk": {"dtype": "float32"}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {}}}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {"time": -1}}}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {"time": "1"}}}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {"time": 1}, "boundary": "Mirror"}}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {"time": 1}, "boundary": 0.5}}}},
    {"operation": {"rechunk": {"apply": "a:b", "overlap": {"depth": {"time": 1}, "boundaries": {"time": "x"}}}}},
    {"operation": {"rechunk": {"apply": "a:b", "dtype": "str"}}},
    {"operation": {"rechunk": {"apply": "no function"}}},
    {"inputs": []},
    {"inputs": [{}]},
    {"inputs": [{"path": "a", "paths": ["b"]}]},
    {"inputs": [{"path": "a", "reader": "m:f", "format": "CSV"}]},
    {"inputs": [{"path": "a", "mapSchema": [{"name": "x", "type": "int64"}]}]},
    {"inputs": [{"path": "a", "map": "clean"}]},
    {"functions": {"timeoutSeconds": 0}},
    {"backend": "Gpu"},
    {"backend": "Tpu"},
    {"inputs": [{"path": "a", "format": "parquet"}]},
    {"inputs": [{"path": "a\nb"}]},
    {"inputs": None},
    {"output": {}},
    {"output": {"path": "s3://bucket/events"}},
    {"output": {"path": "s3://bucket/events/out/"}},
    {"output": {"path": "s3://bucket/"}},
    {"output": {"path": "s3://bucket"}},
    {"output": {"path": "x", "partitions": 0}},
    {"output": {"path": "x", "partitions": "64"}},
    {"output": {"path": "x", "partitions": 1_000_001}},
    {"output": {"path": "x", "partitions": 1, "targetPartitionSize": "1Gi"}},
    {"output": {"path": "x", "targetPartitionSize": "1 Gi"}},
    {"operation": {"sort": {"by": [{"column": "a"}]}}, "output": {"path": "x", "sortWithin": ["a"]}},
    {"workers": {"replicas": 0}},
    {"workers": {"replicas": 2, "maxReplicas": 4}},
    {"workers": {"minReplicas": 5, "maxReplicas": 4}},
    {"workers": {"scratch": {"medium": "Memory", "storageClassName": "fast"}}},
    {"workers": {"env": [{"name": "A", "value": "a", "valueFrom": {}}]}},
    {"workers": {"envFrom": [{"prefix": "A"}]}},
    {"workers": {"serviceAccountName": "A b"}},
    {"suspend": "yes"},
    {"method": "p2p"},
    {"backoffLimit": -1},
]

ONLY_WE_REFUSE: list[dict[str, Any]] = [
    {"output": {"path": "s3://bucket//events/../events"}},
    {"inputs": [{"path": "s3://x/a/*"}], "output": {"path": "s3://x/a/b"}},
    {"inputs": [{"paths": ["s3://x/a"]}], "output": {"path": "s3://x/a"}},
    {"inputs": [{"path": "a", "columns": ["other"]}]},
    {"inputs": [{"path": "a", "columns": ["a"]}], "operation": {"cluster": {"by": ["a", "b"]}}},
    {"inputs": [{"path": "a", "columns": ["a"]}], "operation": {"window": {"by": ["b"], "compute": {"c": "rank()"}}}},
    {
        "inputs": [{"path": "a", "columns": ["a"]}],
        "operation": {"window": {"by": ["a"], "orderBy": [{"column": "t"}], "compute": {"c": "rank()"}}},
    },
    {
        "inputs": [{"path": "a", "columns": ["k"]}],
        "operation": {"distinct": {"by": ["k"], "orderBy": [{"column": "ts"}]}},
    },
    {"workers": {"resources": {"limits": {"memory": "1Mi"}}}},
    {"output": {"path": "x", "targetPartitionSize": "100Ei"}},
]
"""What a schema cannot say, or not cheaply."""


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_a_good_job_is_taken_by_both(server: Any, job: Any, spec: dict[str, Any]) -> None:
    assert server.refuses(job(**spec)) == []
    assert check_job(job(**spec)).manifest() == job(**spec)


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_a_defaulted_job_means_the_same(server: Any, job: Any, spec: dict[str, Any]) -> None:
    assert check_job(server.defaulted(job(**spec))) == check_job(job(**spec))


@pytest.mark.parametrize("spec", BAD, ids=str)
def test_a_bad_job_is_refused_by_both(server: Any, job: Any, spec: dict[str, Any]) -> None:
    assert server.refuses(job(**spec)) != []
    with pytest.raises(InvalidJob):
        check_job(job(**spec))


@pytest.mark.parametrize("spec", ONLY_WE_REFUSE, ids=str)
def test_what_the_server_lets_through_the_operator_refuses(server: Any, job: Any, spec: dict[str, Any]) -> None:
    assert server.refuses(job(**spec)) == []
    with pytest.raises(InvalidJob):
        check_job(job(**spec))


@pytest.mark.parametrize("name", ["Events", "9", "a_b", "a-", "a" * 50, "a.b"])
def test_a_bad_name_is_refused_by_both(server: Any, job: Any, name: str) -> None:
    assert server.refuses(job(name)) != []
    with pytest.raises(InvalidJob):
        check_job(job(name))


def test_every_rule_is_broken_by_a_bad_job_with_the_same_words(server: Any, job: Any) -> None:
    said_by_server: set[str] = set()
    said_by_us = ""
    for spec in BAD:
        said_by_server.update(server.refuses(job(**spec)))
        with pytest.raises(InvalidJob) as caught:
            check_job(job(**spec))
        said_by_us += caught.value.message
    for rule in rules.RULES[1:]:
        assert rule.message in said_by_server, rule.cel
        assert rule.message in said_by_us, rule.cel


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"suspend": True}, False),
        ({"workers": {"replicas": 8}}, False),
        ({"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60}, False),
        ({"operation": {"repartition": {}}}, True),
        ({"output": {"path": "s3://bucket/elsewhere"}}, True),
        ({"method": "ObjectStore"}, True),
        ({"managedBy": "other"}, True),
        ({"recovery": {"retainShards": True}}, True),
        ({"workers": {"replicas": 4, "image": "other"}}, True),
    ],
)
def test_a_job_cannot_become_another(server: Any, job: Any, change: dict[str, Any], refused: bool) -> None:
    old = job(workers={"replicas": 4})
    new = copy.deepcopy(old)
    new["spec"] |= change
    assert bool(server.refuses(new, old)) == refused
    old["spec"]["suspend"] = new["spec"]["suspend"] = True
    assert bool(server.refuses(new, old)) == (refused and "workers" not in change)


def test_the_status_has_no_defaults_but_the_whole_of_one_that_nobody_has_written() -> None:
    """The API server would add them to what the operator writes, which would find it changed and write it again."""

    def defaults(schema: object) -> list[object]:
        if isinstance(schema, dict):
            here = [schema["default"]] if "default" in schema and "type" in schema else []
            return here + [found for value in schema.values() for found in defaults(value)]
        return []

    version = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    unseen = version["status"]["default"]
    assert defaults(version["status"]) == [unseen]
    assert "no operator has seen this job yet" in Status.model_validate(unseen).message
    assert defaults(version["spec"]) != []
