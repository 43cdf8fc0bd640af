"""Every right that the operator uses, in one table: the chart's roles are held to it by a test, and so is the code.

No right to read a job's Secret: tokens are written, and known again by their digest. `SEED` is the one Secret that is
read, in the operator's own namespace (tls/seed.py). No patch of a ShuffleJob but of its status. `KOPF` is what kopf
looks at before it watches anything; it cannot be had in a Role.
"""

from __future__ import annotations

Rules = dict[tuple[str, str], frozenset[str]]
"""(API group, resource) -> verbs."""

ROLE: Rules = {
    ("shuffle-operator.dev", "shufflejobs"): frozenset({"list", "watch", "delete"}),
    ("shuffle-operator.dev", "shufflejobs/status"): frozenset({"patch"}),
    ("", "pods"): frozenset({"get", "list", "watch", "create", "delete"}),
    ("", "secrets"): frozenset({"create", "delete"}),
    ("", "events"): frozenset({"create"}),
}
"""In every namespace that is served. delete of a ShuffleJob: ttlSecondsAfterFinished."""

ISOLATION: Rules = {("networking.k8s.io", "networkpolicies"): frozenset({"create", "delete"})}
"""The same, with networkPolicy.enabled: of each job's workers (launchers/isolation.py)."""

SEED: Rules = {("", "secrets"): frozenset({"create", "get"})}
"""In the operator's own namespace, with TLS; get: of the seed alone, by its name."""

KOPF: Rules = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): frozenset({"get", "list", "watch"}),
    ("", "namespaces"): frozenset({"get", "list", "watch"}),
}
"""Cluster-wide, read-only."""
