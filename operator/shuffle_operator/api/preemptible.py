"""Whether workers are meant for nodes that may be taken away at any time, as far as the job says. Pure.

The clouds mark such nodes by well-known labels and taints; a job that selects or tolerates one of them gets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shuffle_operator.api.workers import Workers

MARKS = frozenset(
    {
        ("cloud.google.com/gke-spot", "true"),
        ("cloud.google.com/gke-preemptible", "true"),
        ("eks.amazonaws.com/capacityType", "SPOT"),
        ("karpenter.sh/capacity-type", "spot"),
        ("kubernetes.azure.com/scalesetpriority", "spot"),
        ("node.kubernetes.io/lifecycle", "spot"),
    }
)
"""(label or taint, value) as Google, Amazon, Karpenter and Azure document them, and what kops and others use."""


def preemptible(workers: Workers | None) -> bool:
    """A toleration alone says only that such nodes will do; yet a person who writes one expects them."""
    if workers is None:
        return False
    return any((key, value) in MARKS for key, value in _named(workers))


def _named(workers: Workers) -> Iterator[tuple[str, str]]:
    yield from (workers.node_selector or {}).items()
    for toleration in workers.tolerations or []:
        if toleration.key is not None:
            values = [value for key, value in MARKS if key == toleration.key]
            yield from ((toleration.key, toleration.value or value) for value in values)
    yield from _required(workers.affinity or {})


def _required(affinity: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the node affinity asks for, required or preferred. It is not checked field by field, so neither is it here
    taken to be well formed."""
    pending: list[Any] = [affinity.get("nodeAffinity")]
    while pending:
        found = pending.pop()
        if isinstance(found, list):
            pending += found
        elif isinstance(found, dict):
            if found.get("operator") == "In" and isinstance(found.get("values"), list):
                yield from ((str(found.get("key")), str(value)) for value in found["values"])
            pending += found.values()
