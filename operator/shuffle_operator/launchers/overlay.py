"""Merging `workers.podTemplate` over a pod that the operator made, the way `kubectl patch` merges: strategically.

Objects are merged field by field; lists whose items have a name (containers, volumes, variables, ...) item by item, by
that name; a list of anything else is replaced. `null` removes a field. Pure; `launchers/pod.py` calls it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from shuffle_operator.api.problems import Path, Problem

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
"""Lists that are merged item by item, and the field that names an item (as Kubernetes has it)."""

APPENDED = ("tolerations", "envFrom", "readinessGates", "schedulingGates")
"""Lists whose items have no name: those of the overlay are added."""


def merge(base: object, over: object, name: str = "") -> Any:
    """A new object; neither of the two is changed."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        result = {key: copy.deepcopy(value) for key, value in base.items() if key not in over}
        for key, value in over.items():
            if value is not None:
                result[key] = merge(base[key], value, key) if key in base else copy.deepcopy(value)
        return result
    if isinstance(base, list) and isinstance(over, list):
        if name in MERGE_KEYS:
            return _by_name(base, over, MERGE_KEYS[name])
        if name in APPENDED:
            return copy.deepcopy([*base, *over])
    return copy.deepcopy(over)


def _by_name(base: list[Any], over: list[Any], key: str) -> list[Any]:
    result = [copy.deepcopy(item) for item in base]
    for item in over:
        name = item.get(key) if isinstance(item, Mapping) else None
        at = next((i for i, old in enumerate(result) if isinstance(old, Mapping) and old.get(key) == name), None)
        if name is None or at is None:
            result.append(copy.deepcopy(item))
        else:
            result[at] = merge(result[at], item)
    return result


WHERE: Path = ("spec", "workers", "podTemplate")


def shape_problems(template: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields that an overlay must not set: the operator's own."""
    for key in template:
        if key not in ("metadata", "spec"):
            yield Problem((*WHERE, key), "expected metadata and spec, as in the template of a Deployment")
    metadata = _given(template, "metadata")
    if not isinstance(metadata, Mapping):
        yield Problem((*WHERE, "metadata"), "expected labels and annotations")
        return
    for key in metadata:
        if key not in ("labels", "annotations"):
            yield Problem(
                (*WHERE, "metadata", key), "only labels and annotations can be set; the rest is the operator's"
            )
    spec = _given(template, "spec")
    if not isinstance(spec, Mapping):
        yield Problem((*WHERE, "spec"), "expected the fields of a pod's spec")
        return
    yield from _spec_problems(spec)
    for at, container in enumerate(spec.get("containers") or []):
        if isinstance(container, Mapping) and container.get("name") == "worker":
            yield from _worker_problems(container, (*WHERE, "spec", "containers", at))


def _spec_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    if "restartPolicy" in spec:
        yield Problem((*WHERE, "spec", "restartPolicy"), "a worker is replaced, never restarted; leave it out")
    for kind in ("containers", "initContainers", "volumes"):
        items = spec.get(kind)
        if items is None:
            continue
        if not isinstance(items, list) or not all(
            isinstance(x, Mapping) and isinstance(x.get("name"), str) for x in items
        ):
            yield Problem((*WHERE, "spec", kind), "expected a list of objects, each with a name")


def _worker_problems(container: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for key in ("command", "args"):
        if key in container:
            yield Problem((*path, key), "what the worker runs is the operator's; leave it out")
    yield from _resource_problems(container, path)
    for variable in container.get("env") or []:
        name = str(variable.get("name", "")) if isinstance(variable, Mapping) else ""
        if name.startswith("SHUFFLE_"):
            yield Problem((*path, "env"), f"{name} is the operator's; leave it out")


COUNTED = ("memory", "cpu", "ephemeral-storage")
"""Resources by which a worker is set up: its buffers, its leases, its scratch."""


def _resource_problems(container: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """The worker would keep its budget, and the pod would be killed, or idle."""
    if "resources" not in container:
        return
    resources = container["resources"]
    if not isinstance(resources, Mapping):
        yield Problem((*path, "resources"), "set workers.resources, which the worker's budget follows")
        return
    for kind in ("limits", "requests"):
        if kind in resources and not isinstance(resources[kind], Mapping):
            yield Problem(
                (*path, "resources", kind), f"set workers.resources.{kind}, which the worker's budget follows"
            )
            continue
        for name in COUNTED:
            if name in (resources.get(kind) or {}):
                said = f"set workers.resources.{kind}.{name}, which the worker's budget follows; leave it out here"
                yield Problem((*path, "resources", kind, name), said)


def scratch_problems(spec: Mapping[str, Any], limit: object) -> Iterator[Problem]:
    """The same for the size of scratch. spec: of the merged pod; limit: of the pod before the merge."""
    for at, volume in enumerate(spec.get("volumes") or []):
        size = (volume.get("emptyDir") or {}).get("sizeLimit") if volume.get("name") == "scratch" else None
        if size is not None and limit is not None and size != limit:
            said = "set workers.scratch.sizeLimit, which the worker's budget follows; leave it out here"
            yield Problem((*WHERE, "spec", "volumes", at, "emptyDir", "sizeLimit"), said)


def _given(template: Mapping[str, Any], key: str) -> object:
    value = template.get(key)
    return {} if value is None else value


def danger_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What would let a worker out of its container: refused even where the namespace would allow it, because a user who
    may create ShuffleJobs may not be allowed to create such pods. spec: of the merged pod."""
    base = (*WHERE, "spec")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield Problem((*base, key), "the node's own namespaces are not for workers; leave it out")
    for at, volume in enumerate(spec.get("volumes") or []):
        if "hostPath" in volume:
            yield Problem(
                (*base, "volumes", at, "hostPath"), "the node's files are not for workers; use another volume"
            )
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or []):
            yield from _container_problems(container, (*base, kind, at))
    context = spec.get("securityContext") or {}
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield Problem((*base, "securityContext"), "workers do not run as root; leave it out")


def _container_problems(container: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    context = container.get("securityContext") or {}
    if context.get("privileged") or context.get("allowPrivilegeEscalation"):
        yield Problem((*path, "securityContext"), "a worker gets no privileges; leave it out")
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield Problem((*path, "securityContext"), "workers do not run as root; leave it out")
    if set((context.get("capabilities") or {}).get("add") or []) - {"NET_BIND_SERVICE"}:
        yield Problem((*path, "securityContext", "capabilities"), "a worker gets no capabilities; leave it out")
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield Problem((*path, "ports"), "a port of the node is not for workers; leave hostPort out")
