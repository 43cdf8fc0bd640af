"""The seed of all authorities, in one Secret of the operator's own namespace: made by the first operator, read by each.

It is the only Secret that an operator may read, by its name. Anybody who can read it can pass for any coordinator and
any worker of any job. When it is lost, a new one is made, and workers that trust the old one are replaced
(handlers/reconcile.py).
"""

from __future__ import annotations

import base64
import binascii
import secrets

from shuffle_operator.kube.api import SECRETS, Kube, KubeError, Object
from shuffle_operator.tls.authority import SEED_SIZE

ENTRY = "seed"


async def load_seed(kube: Kube, namespace: str, name: str) -> bytes:
    """Raises KubeError."""
    found = await kube.get(SECRETS, namespace, name)
    if found is None:
        seed = secrets.token_bytes(SEED_SIZE)
        try:
            await kube.create(SECRETS, namespace, _secret(name, seed))
            return seed
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
        found = await kube.get(SECRETS, namespace, name)
    return _read(found, f"{namespace}/{name}")


def _secret(name: str, seed: bytes) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "shuffle-operator",
                "app.kubernetes.io/component": "seed",
                "app.kubernetes.io/managed-by": "shuffle-operator",
            },
        },
        "type": "Opaque",
        "immutable": True,
        "data": {ENTRY: base64.b64encode(seed).decode()},
    }


def _read(secret: Object | None, which: str) -> bytes:
    try:
        seed = base64.b64decode(((secret or {}).get("data") or {}).get(ENTRY, ""), validate=True)
    except (binascii.Error, TypeError):
        seed = b""
    if len(seed) != SEED_SIZE:
        said = (
            f"Secret {which} has no {ENTRY!r} of {SEED_SIZE} bytes, which TLS needs; delete it, and the operator makes "
            "a new one and replaces the workers that run"
        )
        raise KubeError(0, "BadSeed", said)
    return seed
