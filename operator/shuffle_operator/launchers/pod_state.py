"""What a worker's pod says of itself: whether it is over and why, or what keeps it from starting. Pure.

A worker that ended is a *fault* where the job made it end (an exit code, a crash, too little memory, too much on
scratch), and a *disruption* where something else did (eviction, preemption, deletion, a lost node, SIGKILL or SIGTERM
from outside). Only faults count against `backoffLimit`. docs/kubernetes.md has the table; a test holds it to this.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

from shuffle_operator.launchers.resources import GPU
from shuffle_protocol import trail
from shuffle_protocol.crashes import CRASHES, crash

Object = dict[str, Any]

QUOTED = 600
"""Characters of what a container said last that are quoted."""

FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM})
"""Signals that say nothing against a worker's process. Where the kernel kills one that has too little memory, the
container's state says so (OOMKilled)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker's pod ended."""

    reason: str
    """One word, as Kubernetes has it."""
    why: str
    """A sentence."""
    fault: bool
    exit_code: int | None = None
    going: bool = False
    """It is to go and may still run."""
    blamed: int = 0
    """Which of its workers made it end, where it has several; 0, too, where that is not known."""

    @property
    def crashed(self) -> bool:
        """Its process was ended by a signal that it brought upon itself."""
        return self.exit_code is not None and self.exit_code - 128 in CRASHES


def incarnation_of(pod: Object) -> str:
    """What its worker calls itself: its uid, without the dashes."""
    return str(pod["metadata"]["uid"]).replace("-", "")


def has_worker(pod: Object, worker: int) -> bool:
    """Whether that one is among its workers."""
    containers = pod.get("spec", {}).get("containers") or []
    env = {each["name"]: str(each.get("value", "")) for one in containers for each in one.get("env") or []}
    first, count = env.get("SHUFFLE_WORKER", ""), env.get("SHUFFLE_WORKERS_HERE", "1")
    if not first.isdigit() or not count.isdigit():
        return f"-w-{worker}-" in str(pod["metadata"]["name"])
    return 0 <= worker - int(first) < int(count)


def is_live(pod: Object) -> bool:
    """It runs or may come to run, and is not being deleted."""
    return ended(pod) is None


def is_over(pod: Object) -> bool:
    """None of its processes runs any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_running(pod: Object) -> bool:
    """Its worker's process has started (and not ended)."""
    return "running" in _container(pod).get("state", {})


def ended(pod: Object) -> Ended | None:
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        return _evicted(str(status.get("message", "")))
    if status.get("reason") in ("Preempting", "Shutdown", "NodeShutdown", "Terminated", "NodeLost", "NodeAffinity"):
        return Ended(
            status["reason"], f"{status['reason']}: {status.get('message', 'its node let it go')}", fault=False
        )
    disruption = next(
        (
            c
            for c in status.get("conditions") or []
            if c.get("type") == "DisruptionTarget" and c.get("status") == "True"
        ),
        None,
    )
    terminated = _container(pod).get("state", {}).get("terminated")
    deleted = "deletionTimestamp" in pod.get("metadata", {})
    if terminated is not None:
        if terminated.get("reason") == "OOMKilled":
            code, blamed = int(terminated.get("exitCode", 137)), trail.blamed(_message(terminated)) or 0
            return Ended("OOMKilled", _out_of_memory(pod), fault=True, exit_code=code, blamed=blamed)
        if disruption is None and not deleted:
            return _exited(terminated)
    if disruption is not None:
        reason = str(disruption.get("reason") or "Disrupted")
        return Ended(
            reason, f"{reason}: {disruption.get('message', 'it was taken away')}", fault=False, going=not is_over(pod)
        )
    if deleted:
        return Ended("Deleted", "its pod was deleted", fault=False, going=not is_over(pod))
    if is_over(pod):
        fault = status.get("phase") == "Failed"
        said = status.get("message") or status.get("reason") or f"its pod is {status['phase']}"
        return Ended(str(status.get("reason") or status["phase"]), str(said)[:QUOTED], fault=fault)
    return None


def waiting_reason(pod: Object) -> str:
    """Why its worker does not start, in Kubernetes' words; "" where nothing is known to be wrong."""
    waiting = _container(pod).get("state", {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    image = _container(pod).get("image") or next((c.get("image", "") for c in pod["spec"]["containers"]), "")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"):
        return (
            f"image {image} cannot be pulled ({reason}: {message[:QUOTED]}); check workers.image and imagePullSecrets"
        )
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        return f"{reason}: {message[:QUOTED]}"
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            message = str(condition.get("message", ""))
            return f"{condition.get('reason', 'Unschedulable')}: {message[:QUOTED]}{_lacking_gpu(message)}"
    return ""


def _lacking_gpu(message: str) -> str:
    """What to do where it is a GPU that no node has free."""
    if f"Insufficient {GPU}" not in message:
        return ""
    return (
        f"; backend: Gpu asks for {GPU} for each worker: no node has one free, or none runs the device plugin that "
        "offers them; lower workers.replicas, or leave backend out"
    )


def stage(pod: Object) -> str:
    """How far a pod whose worker has not reported is, and where to look: for one that takes long, and of which
    Kubernetes says nothing more in its state."""
    name = pod["metadata"]["name"]
    if is_running(pod):
        return f"pod {name} runs, and its worker has not reported yet; kubectl logs {name} says what it does"
    conditions = pod.get("status", {}).get("conditions") or []
    scheduled = any(c.get("type") == "PodScheduled" and c.get("status") == "True" for c in conditions)
    if scheduled or _container(pod).get("state", {}).get("waiting"):
        waits = "for its image, or a volume, ConfigMap or Secret that is missing"
        return f"pod {name} is being created and waits {waits}; kubectl describe pod {name} says which"
    return f"pod {name} is not scheduled yet; kubectl describe pod {name} says why"


def _container(pod: Object) -> Object:
    """The state of the worker's container, {} before there is one."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    found: Object = next((s for s in statuses if s.get("name") == "worker"), {})
    return found


def _message(terminated: Object) -> str:
    """The container's last words."""
    return str(terminated.get("message") or "")


def _exited(terminated: Object) -> Ended:
    code = int(terminated.get("exitCode", 0))
    reason = str(terminated.get("reason") or "Error")
    if code == 0:
        return Ended("Completed", "its process ended", fault=False, exit_code=0)
    number, blamed = code - 128, trail.blamed(_message(terminated))
    who = blamed or 0
    if number in CRASHES:
        why = crash(number, trail.said(_message(terminated)))
        return Ended("Crashed", why, fault=True, exit_code=code, blamed=who)
    if number in set(signal.Signals):
        outside = number in FROM_OUTSIDE
        why = f"its process was ended by signal {number} ({signal.Signals(number).name})"
        return Ended("Killed" if outside else "Crashed", why, fault=not outside, exit_code=code, blamed=who)
    words = _words(terminated, ours=blamed is not None)
    said = f": {words[:QUOTED]}" if words else ""
    return Ended(reason, f"its process ended with exit code {code}{said}", fault=True, exit_code=code, blamed=who)


def _words(terminated: Object, *, ours: bool) -> str:
    """The last line that a container wrote. ours: it had several workers; others may have logged after the one that
    ended."""
    lines = [line for line in _message(terminated).splitlines() if line.strip()]
    if ours:
        lines = [line for line in lines if trail.blamed(line) is None]
        lines = [line for line in lines if not line.startswith("{")] or lines
    return lines[-1] if lines else ""


def _out_of_memory(pod: Object) -> str:
    limit = next(
        (
            c.get("resources", {}).get("limits", {}).get("memory")
            for c in pod["spec"]["containers"]
            if c["name"] == "worker"
        ),
        None,
    )
    return (
        f"OOMKilled: it needed more than its memory limit{f' of {limit}' if limit else ''}; raise "
        "workers.resources.limits.memory"
    )


_OWN_DISK = (
    "exceeds the limit",
    "exceeds the total limit",
    "exceeded its local ephemeral storage limit",
    "ephemeral local storage usage",
)
"""What a kubelet says where a pod has written more than it may; otherwise it was the node that had too little."""
_VOLUME = re.compile(r'EmptyDir volume "([^"]+)"')


def _evicted(message: str) -> Ended:
    if not any(words in message for words in _OWN_DISK):
        return Ended("Evicted", f"Evicted: {message[:QUOTED]}", fault=False)
    volume = _VOLUME.search(message)
    other = volume is not None and volume[1] != "scratch"
    advice = (
        f"the volume {volume[1]} is too small" if volume is not None and other else "raise workers.scratch.sizeLimit"
    )
    return Ended("OutOfDisk", f"OutOfDisk: {message[:QUOTED].rstrip()}; {advice}", fault=True)
