"""Whether a job's storage can be reached from the cluster: a pod like those of its workers tries it, and is removed.

Used by `shuffle doctor FILE`. The pod is made with the caller's rights, in the job's namespace, with the job's
Secrets, service account, node selector and template, so that what it finds is what the workers would find.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import msgspec

from shuffle_operator.api.resolve import resolve
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.kube.api import PODS, Kube, Object
from shuffle_operator.launchers.pod import PodSettings, Trust, worker_pod
from shuffle_operator.launchers.pod_state import is_over, waiting_reason
from shuffle_protocol.findings import VARIABLE, Finding

MEMORY = 256 << 20
WITHIN = 120.0
"""Seconds for the pod to be started and to be through."""


async def check_storage(kube: Kube, namespace: str, job: ShuffleJob, image: str) -> list[Finding]:
    """image: where the job names none. Raises KubeError where Kubernetes refuses the pod, InvalidJob where the job is
    wrong; a pod that does not get to run is a finding."""
    pod = check_pod(job, image)
    name = pod["metadata"]["name"]
    await kube.create(PODS, namespace, pod)
    try:
        last = await _over(kube, namespace, name)
        if last is None or not is_over(last):
            why = waiting_reason(last) if last is not None else "it was removed"
            return [Finding(f"pod {name}", False, f"did not run within {WITHIN:.0f} s{f': {why}' if why else ''}")]
        said = await kube.logs(namespace, name)
    finally:
        await kube.delete(PODS, namespace, name, grace=0)
    return _findings(said) or [Finding(f"pod {name}", False, f"said nothing of use: {said[-500:].strip()}")]


def check_pod(job: ShuffleJob, image: str) -> Object:
    """A worker's pod that checks and ends: it belongs to no job, so no operator looks at it."""
    message = resolve(job, uid="doctor", workers=1, memory=MEMORY, local=False)
    pod = worker_pod(job, "doctor", 0, 0, MEMORY, Trust(), PodSettings(image=image, coordinator=""))
    pod["metadata"] = {
        "name": f"shuffle-doctor-{secrets.token_hex(3)}",
        "labels": {"app.kubernetes.io/name": "shuffle-operator", "app.kubernetes.io/component": "doctor"},
    }
    spec = pod["spec"]
    spec["activeDeadlineSeconds"] = int(WITHIN)
    spec["volumes"] = [each for each in spec["volumes"] if each["name"] != "token"]
    for container in spec["containers"]:
        if container["name"] == "worker":
            container["command"] = ["python", "-m", "shuffle_worker.worker.check"]
            container["env"].append({"name": VARIABLE, "value": msgspec.json.encode(message).decode()})
            container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] != "token"]
    spec.pop("topologySpreadConstraints", None)
    return pod


async def _over(kube: Kube, namespace: str, name: str) -> Object | None:
    """The pod when it has ended, or as it is when its time is up."""
    deadline = time.monotonic() + WITHIN
    while True:
        pod = await kube.get(PODS, namespace, name)
        if pod is None or is_over(pod) or time.monotonic() > deadline:
            return pod
        await asyncio.sleep(1.0)


def _findings(said: str) -> list[Finding]:
    found = []
    for line in said.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Finding))
        except msgspec.DecodeError:
            continue  # something else that was logged
    return found


def worker_image(operators: list[Object]) -> str:
    """What operators give to workers whose job names no image; "" where that cannot be seen."""
    for pod in operators:
        for container in pod["spec"].get("containers", []):
            for variable in container.get("env") or []:
                if variable.get("name") == "SHUFFLE_WORKER_IMAGE":
                    return str(variable.get("value", ""))
    return ""
