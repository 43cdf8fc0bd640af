"""The operator's rights are those that its code says it uses: none missing, none to spare."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chart.rendered import Objects, Render

from shuffle_operator.handlers.rbac import ISOLATION, KOPF, ROLE, SEED

SEED_ROLE = "shuffle-operator-seed"

Rights = dict[tuple[str, str], frozenset[str]]


def rights(objects: Objects, kind: str) -> Rights:
    """Of the operator's account where jobs are, by group and resource, as the objects grant them."""
    accounts = {d["metadata"]["name"] for d in objects if d["kind"] == "ServiceAccount"}
    bound = {
        d["roleRef"]["name"]
        for d in objects
        if d["kind"] == f"{kind}Binding" and {s["name"] for s in d["subjects"]} <= accounts
    }
    found: dict[tuple[str, str], set[str]] = {}
    for role in (d for d in objects if d["kind"] == kind and d["metadata"]["name"] in bound - {SEED_ROLE}):
        for rule in role["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    found.setdefault((group, resource), set()).update(rule["verbs"])
    return {key: frozenset(verbs) for key, verbs in found.items()}


def as_rights(table: Any) -> Rights:
    return {tuple(key): frozenset(verbs) for key, verbs in table.items()}


@pytest.mark.parametrize("version", ["1.20.2", "1.32.3"])
def test_in_one_namespace(render: Render, version: str) -> None:
    objects = render({}, version)
    assert rights(objects, "Role") == as_rights(ROLE)
    assert rights(objects, "ClusterRole") == as_rights(KOPF)


def test_in_the_whole_cluster(render: Render) -> None:
    objects = render({"scope": "Cluster"})
    assert rights(objects, "Role") == {}
    assert rights(objects, "ClusterRole") == {**as_rights(KOPF), **as_rights(ROLE)}


def test_of_network_policies_only_where_they_are_enabled(render: Render) -> None:
    policies = {"networkPolicy": {"enabled": True}}
    for values in ({}, {"namespaces": ["a", "b"]}):
        objects = render({**values, **policies})
        assert rights(objects, "Role") == {**as_rights(ROLE), **as_rights(ISOLATION)}
        assert rights(objects, "ClusterRole") == as_rights(KOPF)
    objects = render({"scope": "Cluster", **policies})
    assert rights(objects, "ClusterRole") == {**as_rights(KOPF), **as_rights(ROLE), **as_rights(ISOLATION)}


@pytest.mark.parametrize("values", [{}, {"namespaces": ["a", "b"]}, {"scope": "Cluster"}], ids=["own", "listed", "all"])
def test_one_secret_can_be_read_and_no_other(render: Render, values: dict[str, Any]) -> None:
    objects = render(values)
    role = next(d for d in objects if d["kind"] == "Role" and d["metadata"]["name"] == SEED_ROLE)
    binding = next(d for d in objects if d["kind"] == "RoleBinding" and d["metadata"]["name"] == SEED_ROLE)
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "shuffle"  # the release's
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["shuffle-operator-seed"], "verbs": ["get"]},
    ]
    assert {("", "secrets"): frozenset(v for rule in role["rules"] for v in rule["verbs"])} == SEED
    everywhere = [rule for d in objects if d["kind"] in ("Role", "ClusterRole") for rule in d["rules"]]
    assert [r for r in everywhere if "secrets" in r["resources"] and set(r["verbs"]) - {"create", "delete"}] == [
        role["rules"][1]
    ]


def test_without_tls_there_is_no_such_right(render: Render) -> None:
    objects = render({"tls": {"enabled": False}})
    assert SEED_ROLE not in {d["metadata"]["name"] for d in objects}
    assert rights(objects, "Role") == as_rights(ROLE)


def test_none_is_more_than_one_would_grant(render: Render) -> None:
    for scope in ("Namespace", "Cluster"):
        objects = render({"scope": scope, "networkPolicy": {"enabled": True}})
        granted = [*rights(objects, "Role").items(), *rights(objects, "ClusterRole").items()]
        for (group, resource), verbs in granted:
            assert "*" not in {group, resource, *verbs}
            assert not verbs & {"escalate", "bind", "impersonate", "deletecollection"}
            assert resource not in {"pods/exec", "serviceaccounts/token", "nodes"}
        assert all(verbs <= {"create", "delete"} for (_, resource), verbs in granted if resource == "secrets")


def test_none_at_all_where_the_administrator_grants_them(render: Render) -> None:
    objects = render({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}})
    assert {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}.isdisjoint(
        document["kind"] for document in objects
    )
    deployment = next(d for d in objects if d["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_people_with_kubernetes_own_roles_can_use_jobs(render: Render) -> None:
    roles = {
        name: role
        for role in render()
        if role["kind"] == "ClusterRole"
        for name in ("view", "edit")
        if role["metadata"]["labels"].get(f"rbac.authorization.k8s.io/aggregate-to-{name}") == "true"
    }
    verbs = {verb for role in roles.values() for rule in role["rules"] for verb in rule["verbs"]}
    assert verbs >= {"create", "delete", "patch"}
    assert render({"rbac": {"aggregate": False}}) != render()
