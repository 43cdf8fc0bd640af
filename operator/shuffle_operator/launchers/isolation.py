"""A job's NetworkPolicy: only its workers reach each other, on the ports on which they listen.

The operator is not let in, because it never calls a worker: workers call it. What they call is left open, because they
need their store. The policy is there before the first pod (`launchers/kubernetes.py`) and goes when the last is gone
(`handlers/reconcile.py`), or with the job. Policies add up: another one that selects the pods opens what it says.
"""

from __future__ import annotations

import logging
from typing import Any

from shuffle_operator.kube.api import NETWORK_POLICIES, Kube, KubeError
from shuffle_operator.launchers.pod import LABEL_JOB, LABEL_UID, OWN_LABELS, PORT, owner_reference

Object = dict[str, Any]

log = logging.getLogger("shuffle.operator")


def policy_name(job: str, uid: str) -> str:
    """With a part of the uid: a job made anew under the name of one that goes has a policy of its own."""
    return f"{job}-workers-{uid[:8]}"


def network_policy(job: str, uid: str, per_pod: int) -> Object:
    """per_pod: how many workers listen in each pod. Selects by the uid, which no other job has, and which a job cannot
    take off its pods. Without a namespaceSelector only pods of the job's namespace are meant."""
    ports = range(PORT, PORT + per_pod)
    mine = {"podSelector": {"matchLabels": {LABEL_UID: uid}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(job, uid),
            "labels": {**OWN_LABELS, LABEL_JOB: job},
            "ownerReferences": [owner_reference(job, uid)],
        },
        "spec": {
            **mine,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [mine], "ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
        },
    }


async def isolate(kube: Kube, namespace: str, job: str, uid: str, per_pod: int) -> None:
    """A policy that is there is from an earlier operator. Raises KubeError, which says what to do where a right is
    missing."""
    try:
        await kube.create(NETWORK_POLICIES, namespace, network_policy(job, uid, per_pod))
    except KubeError as error:
        if error.reason == "AlreadyExists":
            return
        said = f"the job's NetworkPolicy cannot be created, and no worker starts without it: {error.message}"
        if error.status == 403:
            said += "; where the operator lacks the right, upgrade its chart with rbac.create, or grant it"
        raise KubeError(error.status, error.reason, said) from error


async def release(kube: Kube, namespace: str, job: str, uid: str) -> None:
    """Where the right is missing it stays until the job goes: that keeps no job from its end. Raises KubeError."""
    try:
        await kube.delete(NETWORK_POLICIES, namespace, policy_name(job, uid))
    except KubeError as error:
        if error.status != 403:
            raise
        log.warning("%s/%s: its NetworkPolicy stays until the job is removed: %s", namespace, job, error.message)
