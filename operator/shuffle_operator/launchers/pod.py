"""A worker's pod: a pure function of the job and the slot. `launchers/kubernetes.py` creates what this says.

Pods are small and closed by default (Pod Security "restricted"): no service account token, no root, no capabilities, a
read-only root file system, room on the node's disk that is asked for and limited. What a job adds comes from named
fields; `podTemplate` is merged over the whole, and must not open the pod up unless the operator was set up to allow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from shuffle_operator.api.data import Storage
from shuffle_operator.api.functions import MOUNT, FunctionSource
from shuffle_operator.api.problems import InvalidJob, Problem
from shuffle_operator.api.spec import API_VERSION, GROUP, KIND, ShuffleJob
from shuffle_operator.api.workers import Workers
from shuffle_operator.launchers.overlay import danger_problems, merge, scratch_problems, shape_problems
from shuffle_operator.launchers.resources import (
    GPU_TOLERATION,
    PodCut,
    cut_of,
    plain,
    resources_of,
    scratch_bytes,
    scratch_volume,
)

Object = dict[str, Any]

LABEL_JOB = f"{GROUP}/job"
LABEL_UID = f"{GROUP}/job-uid"
LABEL_WORKER = f"{GROUP}/worker"
TOKEN_DIGEST = f"{GROUP}/token-sha256"
"""On every pod: the digest of the token that it was given. A coordinator that lost its memory knows the token by it,
without the right to read Secrets."""
AUTHORITY_DIGEST = f"{GROUP}/authority-sha256"
"""On every pod that talks with TLS: the fingerprint of the authority that it trusts."""
MANAGED_BY = "shuffle-operator"
OWN_LABELS = {
    "app.kubernetes.io/name": "shuffle-operator",
    "app.kubernetes.io/component": "worker",
    "app.kubernetes.io/managed-by": MANAGED_BY,
}
SELECTOR = "app.kubernetes.io/component=worker,app.kubernetes.io/managed-by=shuffle-operator"
"""Of every worker pod of every job: what the operator watches."""

PORT = 7077
"""Where workers listen for their peers; a pod's further workers on the ports after it."""

SCRATCH, TOKEN, TMP = "/scratch", "/var/run/shuffle", "/tmp"  # noqa: S108 - the container's own
USER = 10001
LINGER = 3
STORAGE_RETRY = 900
"""Seconds that a store may be away where the job does not say (`storageRetrySeconds`)."""
DEFAULT_GRACE = 30


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the operator decides about the pods of workers."""

    image: str
    """Image of workers, where a job names none."""
    coordinator: str
    """The address that workers call."""
    secure: str = ""
    """The one that they call with TLS; "": there is none."""
    pull_policy: str = ""
    """Empty: Kubernetes' own default."""
    scratch: int = 50 << 30
    """Bytes of an emptyDir where a job gives no sizeLimit."""
    unsafe: bool = False
    """`podTemplate` may open pods up."""
    instance: str = ""
    """The chart's release, for a label."""
    log_level: str = "INFO"
    isolated: bool = False
    """No pod starts without a NetworkPolicy of its job's (isolation.py)."""
    orphaned: int = 86_400
    """Seconds without an operator after which a worker ends."""


class Trust(NamedTuple):
    """How a job's workers and the operator know each other."""

    token: str = ""
    """The digest of the job's token, in hex."""
    authority: str = ""
    """The fingerprint of the job's certificate authority, in hex; "" for a job without TLS."""


def trust_of(pod: Object) -> Trust | None:
    """What a pod was given; None where it does not say."""
    annotations = pod["metadata"].get("annotations") or {}
    token, authority = (str(annotations.get(name, "")) for name in (TOKEN_DIGEST, AUTHORITY_DIGEST))
    if not _is_digest(token) or not (authority == "" or _is_digest(authority)):
        return None
    return Trust(token, authority)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def pod_name(job: str, index: int, epoch: int) -> str:
    return f"{job}-w-{index}-{epoch}"


def secret_name(job: str, uid: str, authority: str = "") -> str:
    """With a part of the uid, so that it can be no one else's, nor that of an earlier job of the name; and of the
    authority's fingerprint, so that no kubelet gives a pod what it remembers of another authority's."""
    return f"{job}-token-{uid[:8]}" + (f"-{authority[:8]}" if authority else "")


def owner_reference(job: str, uid: str) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": job,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_owned(body: Object, uid: str) -> bool:
    """Whether an object is the job's with this uid."""
    owners = body.get("metadata", {}).get("ownerReferences") or []
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def token_secret(
    job: str, uid: str, token: str, authority: str = "", certificates: dict[str, str] | None = None
) -> Object:
    """certificates: by name, as a worker finds them in files (shuffle_protocol/tls.py)."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(job, uid, authority),
            "labels": {**OWN_LABELS, LABEL_JOB: job},
            "ownerReferences": [owner_reference(job, uid)],
        },
        "type": "Opaque",
        "stringData": {"token": token, **(certificates or {})},
    }


def worker_pod(
    job: ShuffleJob, uid: str, index: int, epoch: int, memory: int, trust: Trust, settings: PodSettings
) -> Object:
    """index: of the pod; memory: bytes for it. Raises InvalidJob where podTemplate says what it must not."""
    name, workers = job.metadata.name, job.spec.workers or Workers()
    template = workers.pod_template or {}
    problems = list(shape_problems(template))
    if problems:
        raise InvalidJob(problems, name)
    labels = {**(workers.labels or {}), **OWN_LABELS, LABEL_JOB: name, LABEL_UID: uid, LABEL_WORKER: str(index)}
    if settings.instance:
        labels["app.kubernetes.io/instance"] = settings.instance
    annotations = {**_foreign(workers.annotations), TOKEN_DIGEST: trust.token}
    if trust.authority:
        annotations[AUTHORITY_DIGEST] = trust.authority
    spec = _spec(job, uid, index, memory, trust, settings)
    meta = template.get("metadata") or {}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(name, index, epoch),
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": {**_foreign(meta.get("annotations")), **annotations},
            "ownerReferences": [owner_reference(name, uid)],
        },
        "spec": merge(spec, template.get("spec") or {}),
    }
    limit = (spec["volumes"][0].get("emptyDir") or {}).get("sizeLimit")
    problems = list(scratch_problems(pod["spec"], limit))
    if not settings.unsafe:
        problems += danger_problems(pod["spec"])
    if problems:
        raise InvalidJob(problems, name)
    grace = int(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE))
    for container in pod["spec"]["containers"]:
        if container["name"] == "worker":
            container["env"].append({"name": "SHUFFLE_GRACE", "value": str(max(1, grace - 3))})
    return pod


def _foreign(annotations: dict[str, str] | None) -> dict[str, str]:
    """A job's own annotations, but for those that an operator uses."""
    return {key: value for key, value in (annotations or {}).items() if key not in (TOKEN_DIGEST, AUTHORITY_DIGEST)}


def _spec(job: ShuffleJob, uid: str, index: int, memory: int, trust: Trust, settings: PodSettings) -> Object:
    """dnsConfig: a lost packet costs a lookup a second and not five, which counts on a network full of shards."""
    workers = job.spec.workers or Workers()
    scratch = scratch_bytes(workers, settings.scratch)
    secret = secret_name(job.metadata.name, uid, trust.authority)
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DEFAULT_GRACE,
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "4"}]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, uid, index, memory, scratch, trust, settings)],
        "volumes": [
            {"name": "scratch", **scratch_volume(workers, scratch)},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "token", "secret": {"secretName": secret, "defaultMode": 0o440}},
            *(volume for volume, _ in _function_volumes(job)),
        ],
    }
    for field, value in (
        ("serviceAccountName", workers.service_account_name),
        ("nodeSelector", workers.node_selector),
        ("affinity", workers.affinity),
        ("priorityClassName", workers.priority_class_name),
        ("tolerations", plain(workers.tolerations) + ([GPU_TOLERATION] if job.spec.backend == "Gpu" else [])),
        ("imagePullSecrets", plain(workers.image_pull_secrets)),
    ):
        if value:
            spec[field] = value
    spread = plain(workers.topology_spread_constraints)
    if not spread and not workers.affinity:
        spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]
    if spread:
        mine = {"matchLabels": {LABEL_UID: uid}}
        spec["topologySpreadConstraints"] = [{"labelSelector": mine, **each} for each in spread]
    return spec


def _container(
    job: ShuffleJob, uid: str, index: int, memory: int, scratch: int, trust: Trust, settings: PodSettings
) -> Object:
    workers = job.spec.workers or Workers()
    cut = cut_of(job, memory)
    env: list[Object] = [
        {"name": "SHUFFLE_COORDINATOR", "value": settings.secure if trust.authority else settings.coordinator},
        {"name": "SHUFFLE_JOB", "value": uid},
        {"name": "SHUFFLE_WORKER", "value": str(index * cut.workers)},
        {"name": "SHUFFLE_INCARNATION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "SHUFFLE_ADVERTISE", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "SHUFFLE_PORT", "value": str(PORT)},
        {"name": "SHUFFLE_MEMORY", "value": str(cut.memory)},
        {"name": "SHUFFLE_SLOTS", "value": str(cut.slots)},
        {"name": "SHUFFLE_SCRATCH", "value": SCRATCH},
        {"name": "SHUFFLE_SCRATCH_LIMIT", "value": str(scratch)},
        {"name": "SHUFFLE_TOKEN_FILE", "value": f"{TOKEN}/token"},
        {"name": "SHUFFLE_LINGER", "value": str(LINGER)},
        {"name": "SHUFFLE_ORPHANED", "value": str(settings.orphaned)},
        {"name": "SHUFFLE_STORAGE_RETRY", "value": str(STORAGE_RETRY)},
        {"name": "SHUFFLE_LOG_LEVEL", "value": settings.log_level},
        {"name": "HOME", "value": TMP},
    ]
    if trust.authority:
        env.append({"name": "SHUFFLE_TLS", "value": TOKEN})
    if cut.functions:
        env.append({"name": "SHUFFLE_FUNCTIONS_MEMORY", "value": str(cut.functions)})
    if cut.workers > 1:
        env.append({"name": "SHUFFLE_WORKERS_HERE", "value": str(cut.workers)})
    env += plain(workers.env)
    container: Object = {
        "name": "worker",
        "image": workers.image or settings.image,
        "command": ["python", "-m", "shuffle_worker"],
        "env": env,
        "ports": _ports(cut),
        "resources": resources_of(workers, memory, scratch, gpu=job.spec.backend == "Gpu"),
        "volumeMounts": [
            {"name": "scratch", "mountPath": SCRATCH},
            {"name": "tmp", "mountPath": TMP},
            {"name": "token", "mountPath": TOKEN, "readOnly": True},
            *(mount for _, mount in _function_volumes(job)),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    sources = [{"secretRef": {"name": name}} for name in storage_secrets(job)] + plain(workers.env_from)
    if sources:
        container["envFrom"] = sources
    if settings.pull_policy:
        container["imagePullPolicy"] = settings.pull_policy
    return container


def _ports(cut: PodCut) -> list[Object]:
    """One for each worker."""
    further = [{"name": f"shards-{number}", "containerPort": PORT + number} for number in range(1, cut.workers)]
    return [{"name": "shards", "containerPort": PORT}, *further]


def storage_secrets(job: ShuffleJob) -> list[str]:
    """The Secrets whose keys become variables of the workers: of the inputs, then of the output."""
    names = [s.secret_ref.name for s in _storages(job) if s.secret_ref is not None]
    return list(dict.fromkeys(names))


def credential_problems(job: ShuffleJob) -> Iterator[Problem]:
    """Two stores of one kind with different Secrets: both have variables of the same names, so one would silently be
    used with the other's credentials."""
    seen: dict[str, str] = {}
    for path, url, storage in _placed_storages(job):
        if storage is None or storage.secret_ref is None:
            continue
        scheme, name = url.partition("://")[0], storage.secret_ref.name
        if seen.setdefault(scheme, name) != name:
            message = (
                f"{seen[scheme]} and {name} would both set the credentials of {scheme}://; put credentials that may do "
                "both into one Secret and name it everywhere"
            )
            yield Problem((*path, "storage", "secretRef", "name"), message)


def _function_sources(job: ShuffleJob) -> list[FunctionSource]:
    return list((job.spec.functions.sources if job.spec.functions is not None else None) or [])


def _function_volumes(job: ShuffleJob) -> Iterator[tuple[Object, Object]]:
    """The ConfigMaps that functions are imported from, and where they are mounted."""
    for at, source in enumerate(_function_sources(job)):
        if source.config_map_ref is not None:
            name = f"functions-{at}"
            volume = {"name": name, "configMap": {"name": source.config_map_ref.name, "defaultMode": 0o444}}
            yield volume, {"name": name, "mountPath": f"{MOUNT}/{at}", "readOnly": True}


def _placed_storages(job: ShuffleJob) -> Iterator[tuple[tuple[str | int, ...], str, Storage | None]]:
    for at, item in enumerate(job.spec.inputs):
        yield ("spec", "inputs", at), item.path or (item.paths or [""])[0], item.storage
    yield ("spec", "output"), job.spec.output.path, job.spec.output.storage
    for at, source in enumerate(_function_sources(job)):
        if source.path is not None:
            yield ("spec", "functions", "sources", at), source.path, source.storage


def _storages(job: ShuffleJob) -> Iterator[Storage]:
    for _, _, storage in _placed_storages(job):
        if storage is not None:
            yield storage
