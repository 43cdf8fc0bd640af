"""What the chart makes of its values, for old and new versions of Kubernetes."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from tests.chart.rendered import CHART, PROJECT, Objects, Refused, Render
from tests.project import script

from shuffle_operator.api.restrictions import Restrictions
from shuffle_operator.settings import from_environment

POD = {"POD_NAME": "operator-0", "POD_NAMESPACE": "shuffle"}
VERSIONS = ["1.20.2", "1.21.0", "1.25.16", "1.32.3", "1.37.0", "1.29.4-gke.1043002"]
EVERYTHING: dict[str, Any] = {
    "podDisruptionBudget": {"enabled": True},
    "metrics": {
        "podMonitor": {"enabled": True},
        "serviceMonitor": {"enabled": True, "labels": {"release": "p"}},
        "rules": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {"enabled": True, "extraIngress": [{"ports": [{"port": 8080}]}]},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "data"},
    "podLabels": {"a": "b"},
    "podAnnotations": {"c": "d"},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy"}],
    "service": {"annotations": {"e": "f"}},
    "serviceAccount": {"annotations": {"role": "r"}},
}


def one(objects: Objects, kind: str) -> dict[str, Any]:
    found = [document for document in objects if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def kinds(objects: Objects) -> list[str]:
    return sorted(document["kind"] for document in objects)


def environment(objects: Objects) -> dict[str, str | None]:
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [{}, {"scope": "Cluster"}, EVERYTHING], ids=["default", "cluster", "everything"])
def test_each_version_gets_kinds_that_it_serves(render: Render, version: str, values: dict[str, Any]) -> None:
    old = version.startswith("1.20")
    served = {
        "policy/v1beta1": old,
        "policy/v1": not old,
        **dict.fromkeys(["v1", "apps/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"], True),
        "monitoring.coreos.com/v1": True,
    }
    objects = render(values, version)
    assert [d["apiVersion"] for d in objects if not served.get(d["apiVersion"])] == []
    assert {"Deployment", "Service", "ServiceAccount", "ClusterRole"} <= set(kinds(objects))


def test_names_are_unique_and_every_object_says_whose_it_is(render: Render) -> None:
    objects = render(EVERYTHING)
    names = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in objects]
    assert len(set(names)) == len(names)
    for document in objects:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "shuffle-operator"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["team"] == "data"


def test_selectors_find_the_operator_and_nothing_else(render: Render) -> None:
    objects = render(EVERYTHING)
    deployment = one(objects, "Deployment")["spec"]
    operator = deployment["template"]["metadata"]["labels"]
    test = one(objects, "Pod")["metadata"]["labels"]
    worker = {"app.kubernetes.io/name": "shuffle-operator", "app.kubernetes.io/component": "worker"}

    def finds(selector: dict[str, str], labels: dict[str, str]) -> bool:
        return selector.items() <= labels.items()

    selectors = [
        deployment["selector"]["matchLabels"],
        one(objects, "Service")["spec"]["selector"],
        one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(objects, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert finds(selector, operator)
        assert not finds(selector, test)
        assert not finds(selector, worker)
    assert finds(one(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"],
                 one(objects, "Service")["metadata"]["labels"])  # fmt: skip


def test_there_is_never_a_second_operator(render: Render) -> None:
    deployment = one(render(), "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    with pytest.raises(Refused, match="replicas"):
        render({"replicas": 2})


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_pods_are_as_the_restricted_standard_wants_them(render: Render, kind: str) -> None:
    document = one(render(), kind)
    spec = document["spec"]["template"]["spec"] if kind == "Deployment" else document["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all(volume.keys() <= {"name", "emptyDir"} for volume in spec.get("volumes", ()))
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container.get("ports", ()))
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("tls", [True, False])
def test_the_operator_is_probed_at_one_port_and_reached_by_workers_at_another(render: Render, tls: bool) -> None:
    objects = render() if tls else render({"tls": {"enabled": False}})
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    secure = [{"name": "workers", "containerPort": 8443, "protocol": "TCP"}] if tls else []
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, *secure]
    service = one(objects, "Service")["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in service] == [(8080, "http"), (8443, "workers")][: 1 + tls]
    address = "https://shuffle-operator.shuffle.svc:8443" if tls else None
    assert environment(objects).get("SHUFFLE_TLS_ADDRESS") == address
    assert environment(objects).get("SHUFFLE_SEED_SECRET") == ("shuffle-operator-seed" if tls else None)
    assert environment(objects)["SHUFFLE_ADDRESS"] == "http://shuffle-operator.shuffle.svc:8080"
    assert environment(objects)["SHUFFLE_PORT"] == "8080"


@pytest.mark.parametrize(
    ("values", "served"),
    [({}, "shuffle"), ({"namespaces": ["a", "b"]}, "a,b"), ({"scope": "Cluster"}, "")],
    ids=["own", "listed", "all"],
)
def test_the_namespaces_that_are_served(render: Render, values: dict[str, Any], served: str) -> None:
    objects = render(values)
    assert environment(objects)["SHUFFLE_NAMESPACES"] == served
    roles = sorted(
        d["metadata"]["namespace"]
        for d in objects
        if d["kind"] == "Role" and d["metadata"]["name"] != "shuffle-operator-seed"
    )
    assert roles == (served.split(",") if served else [])
    for binding in (d for d in objects if d["kind"].endswith("RoleBinding") or d["kind"] == "ClusterRoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "shuffle-operator", "namespace": "shuffle"}]


@pytest.mark.parametrize(
    ("values", "image", "workers"),
    [
        ({}, "shuffle-operator:dev", "shuffle-operator:dev"),
        ({"image": {"registry": "r.example:5000", "repository": "data/shuffle", "tag": "7"}},
         "r.example:5000/data/shuffle:7", "r.example:5000/data/shuffle:7"),
        ({"image": {"tag": "7", "digest": "sha256:" + "0" * 64}, "workers": {"image": "mine:1"}},
         "shuffle-operator@sha256:" + "0" * 64, "mine:1"),
    ],
    ids=["default", "registry", "digest"],
)  # fmt: skip
def test_images(render: Render, values: dict[str, Any], image: str, workers: str) -> None:
    objects = render(values)
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == image
    assert environment(objects)["SHUFFLE_WORKER_IMAGE"] == workers


def test_what_jobs_may_use_is_what_the_operator_understands(render: Render) -> None:
    def restrictions(values: dict[str, Any]) -> Restrictions:
        return from_environment(
            {k: v for k, v in environment(render(values)).items() if v is not None} | POD
        ).restrictions

    allowed = restrictions({})
    assert allowed.functions
    assert allowed.protocols is not None
    assert {"s3", "gs", "abfs", "https"} <= allowed.protocols
    assert not allowed.protocols & {"file", "local", "memory", "http", "reference", "simplecache", "zip", ""}
    assert restrictions({"allowedProtocols": ["*"]}) == Restrictions()
    tight = {"allowedProtocols": ["s3"], "allowFunctions": False}
    assert restrictions(tight) == Restrictions(frozenset({"s3"}), functions=False)


def test_a_packaged_chart_has_the_version_that_it_was_given_and_a_checkouts_none(helm: Path, tmp_path: Path) -> None:
    def versions(text: str) -> tuple[str, str]:
        found = yaml.safe_load(text)
        return found["version"], found["appVersion"]

    assert versions((CHART / "Chart.yaml").read_text(encoding="utf-8")) == ("0.0.0-dev", "dev")
    packed = script("tools/release/chart.py").package(helm, CHART, "1.2.0rc3", tmp_path)
    assert packed.name == "shuffle-operator-1.2.0-rc.3.tgz"
    with tarfile.open(packed) as archive:
        stream = archive.extractfile("shuffle-operator/Chart.yaml")
        assert stream is not None
        assert versions(stream.read().decode()) == ("1.2.0-rc.3", "1.2.0rc3")


def test_nothing_optional_is_there_unless_asked_for(render: Render) -> None:
    on_wish = {"PodDisruptionBudget", "NetworkPolicy", "PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"}
    assert not set(kinds(render())) & on_wish
    assert on_wish <= set(kinds(render(EVERYTHING)))


def test_the_network_policy_lets_workers_and_nobody_else_in_to_the_operator(render: Render) -> None:
    policies = {
        (d["metadata"]["namespace"], d["metadata"]["name"]): d["spec"]
        for d in render({"namespaces": ["a"], "networkPolicy": {"enabled": True}})
        if d["kind"] == "NetworkPolicy"
    }
    worker = {"app.kubernetes.io/name": "shuffle-operator", "app.kubernetes.io/component": "worker"}
    # One for all workers would let in what the job's own, which the operator makes, keeps out: policies add up.
    assert policies.keys() == {("shuffle", "shuffle-operator")}
    operator = policies["shuffle", "shuffle-operator"]["ingress"]
    assert operator[0]["from"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": worker}}]
    assert [[port["port"] for port in rule["ports"]] for rule in operator] == [[8080, 8443], [8080]]


@pytest.mark.parametrize("enabled", [False, True])
def test_the_operator_makes_policies_for_jobs_where_they_are_enabled(render: Render, enabled: bool) -> None:
    variables = {k: v for k, v in environment(render({"networkPolicy": {"enabled": enabled}})).items() if v is not None}
    assert from_environment(variables | {"POD_NAMESPACE": "shuffle"}).network_policies is enabled


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ({"scope": "cluster"}, "scope"),
        ({"scope": "Cluster", "namespaces": ["a"]}, "namespaces"),
        ({"replica": 1}, "replica"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"workers": {"scratch": "much"}}, "scratch"),
        ({"resources": {"limits": {"memory": "a lot"}}}, "memory"),
        ({"logLevel": "LOUD"}, "logLevel"),
        ({"namespaces": ["Not_A_Name"]}, "namespaces"),
        ({"metrics": {"podMonitor": {"interval": "often"}}}, "interval"),
        ({"livenessProbe": {"periodSeconds": 0}}, "periodSeconds"),
        ({"extraEnv": [{"value": "x"}]}, "extraEnv"),
        ({"allowedProtocols": []}, "allowedProtocols"),
        ({"allowedProtocols": ["s3://"]}, "allowedProtocols"),
        ({"allowFunctions": "no"}, "allowFunctions"),
        ({"tls": {"enabled": "on"}}, "tls"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_mean_nothing_are_refused(render: Render, values: dict[str, Any], about: str) -> None:
    with pytest.raises(Refused, match=about):
        render(values)


def numbers(part: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """The values that may be numbers, each with a large one that is allowed."""
    for one in (part, *part.get("anyOf", ()), *part.get("oneOf", ())):
        if one.get("type") in ("integer", "number"):
            yield path, min(one.get("maximum", 2_592_000), 2_592_000)
    for name, child in part.get("properties", {}).items():
        yield from numbers(child, (*path, name))


NUMBERS = dict(numbers(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))))
FREE: dict[tuple[str, ...], Any] = {
    ("podSecurityContext", "runAsUser"): 1_000_650_000,
    ("tolerations",): [{"operator": "Exists", "tolerationSeconds": 2_592_000}],
}
"""In values that are Kubernetes' own, which go in as they are."""


def scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from scalars(one)
    else:
        yield value


@pytest.mark.parametrize(
    ("path", "number"), [*NUMBERS.items(), *FREE.items()], ids=lambda v: ".".join(v) if isinstance(v, tuple) else ""
)
def test_a_large_number_is_written_in_digits(render: Render, path: tuple[str, ...], number: Any) -> None:
    """Helm's numbers are floats, and Go writes a million as 1e+06."""
    values: Any = number
    for name in reversed(path):
        values = {name: values}
    if path[0] == "podDisruptionBudget":
        values["podDisruptionBudget"]["enabled"] = True
    if path[0] == "dashboard":
        values["dashboard"] |= {"enabled": True, "tokenSecret": {"name": "pages"}}
    found = list(scalars(render(values)))
    assert [one for one in found if isinstance(one, float)] == []
    assert [one for one in found if isinstance(one, str) and re.search(r"\de\+?\d", one)] == []
    for wanted in scalars(number):
        assert str(wanted) in map(str, found)


def test_the_operator_reads_what_the_chart_writes_of_numbers(render: Render) -> None:
    values = {"workers": {"orphanedAfterSeconds": 2_592_000}, "maxRunningJobs": 100_000}
    variables = {k: v for k, v in environment(render(values)).items() if v is not None}
    settings = from_environment(variables | POD)
    assert (settings.orphaned, settings.max_running_jobs) == (2_592_000, 100_000)


@pytest.mark.parametrize(("least", "written"), [(0, 0), (1, 1), ("50%", "50%")])
def test_a_budget_in_pods_or_in_percent(render: Render, least: int | str, written: int | str) -> None:
    budget = one(render({"podDisruptionBudget": {"enabled": True, "minAvailable": least}}), "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == written


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    Draft7Validator(schema).validate(values)

    def compare(part: dict[str, Any], given: dict[str, Any], path: str) -> None:
        assert part["properties"].keys() - {"global", "successThreshold"} == given.keys(), path
        for name, child in part["properties"].items():
            if isinstance(given.get(name), dict) and child.get("additionalProperties") is False:
                compare(child, given[name], f"{path}.{name}")

    compare(schema, values, "values")


def test_the_chart_carries_the_definition(render: Render) -> None:
    carried = one(render(crds=True), "CustomResourceDefinition")
    assert carried == yaml.safe_load((PROJECT / "crds" / "shufflejobs.yaml").read_text(encoding="utf-8"))


def test_the_chart_has_no_fault_that_helm_knows(helm: Path, tmp_path: Path) -> None:
    command = [str(helm), "lint", "--strict", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
