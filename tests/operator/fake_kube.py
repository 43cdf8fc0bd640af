"""An API server in memory, as far as the operator can tell, and a kubelet that runs workers as real processes.

The server keeps the rules that matter to a controller: versions that only rise, uids, a status that is written apart,
names that are taken, preconditions, deletion that leaves pods a grace period, and the removal of what an owner leaves
behind. Every write is numbered and can be made to fail before or after it took effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import signal
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shuffle_operator.kube.api import JOBS, PODS, KubeError, Object, Resource

Key = tuple[Resource, str, str]
Listener = Callable[[str, Resource, Object], None]


class FakeKube:
    """Implements `Kube`. fault: called with the number of each write, and whether it has taken effect; may raise."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.used: set[tuple[str, str, str]] = set()
        """(group, resource, verb) of every request: the rights that it took."""
        self.read: set[tuple[str, str, str]] = set()
        """(resource, namespace, name) of every object that was asked for by its name."""
        self.objects: dict[Key, Object] = {}
        self.listeners: list[Listener] = []
        self.fault: Callable[[int, bool], None] = lambda _number, _done: None
        self.down: KubeError | None = None
        """What every request is answered with, if anything."""
        self.writes: list[str] = []
        self.refusals: dict[tuple[str, Resource], KubeError] = {}
        """By what is refused: (create or delete, of which kind)."""
        self._version = 1
        self.collecting: set[asyncio.Task[None]] = set()

    # -- Kube --------------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        self._asked("get", resource)
        self.read.add((resource.plural, namespace, name))
        return copy.deepcopy(self.objects.get((resource, namespace, name)))

    async def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Object]:
        self._asked("list", resource)
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
        return [
            copy.deepcopy(body)
            for (kind, where, _), body in self.objects.items()
            if kind == resource
            and where == (namespace or where)
            and wanted.items() <= body["metadata"].get("labels", {}).items()
        ]

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        self._asked("create", resource)
        await self._writing(f"create {resource.plural}/{body['metadata']['name']}")
        key = (resource, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise KubeError(409, "AlreadyExists", f"{resource.plural} {key[2]!r} already exists")
        if ("create", resource) in self.refusals:
            raise self.refusals["create", resource]
        made = copy.deepcopy(body)
        made["metadata"] |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
        }
        if resource == PODS:
            made["status"] = {"phase": "Pending"}
        self.put(key, made, "ADDED")
        self._written()
        return copy.deepcopy(made)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> bool:
        self._asked("delete", resource)
        await self._writing(f"delete {resource.plural}/{name}")
        if ("delete", resource) in self.refusals:
            raise self.refusals["delete", resource]
        key = (resource, namespace, name)
        body = self.objects.get(key)
        if body is None or (uid and body["metadata"]["uid"] != uid):
            return False
        alive = resource == PODS and body["status"]["phase"] == "Running"
        if alive:
            if "deletionTimestamp" not in body["metadata"]:
                body = copy.deepcopy(body)
                body["metadata"]["deletionTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                body["metadata"]["deletionGracePeriodSeconds"] = 30 if grace is None else grace
                self.put(key, body, "MODIFIED")
        else:
            self.remove(key)
        self._written()
        return True

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, *, status: bool = False
    ) -> Object | None:
        self._asked("patch", resource, "/status" if status else "")
        await self._writing(f"patch {resource.plural}/{name}" + ("/status" if status else ""))
        key = (resource, namespace, name)
        known = self.objects.get(key)
        if known is None or body.get("metadata", {}).get("uid", known["metadata"]["uid"]) != known["metadata"]["uid"]:
            return None
        if body.get("metadata", {}).get("resourceVersion", "") not in ("", known["metadata"]["resourceVersion"]):
            raise KubeError(409, "Conflict", "the object has been modified")
        part = "status" if status else "spec"
        new = copy.deepcopy(known)
        new[part] = merged(new.get(part) or {}, body.get(part) or {})
        changes = body.get("metadata", {})
        for field in {"labels", "annotations"} & changes.keys():
            new["metadata"][field] = merged(new["metadata"].get(field) or {}, changes[field] or {})
        if new != known:
            if new.get("spec") != known.get("spec"):
                new["metadata"]["generation"] += 1
            self.put(key, new, "MODIFIED")
        self._written()
        return copy.deepcopy(self.objects[key])

    async def logs(self, namespace: str, pod: str, *, lines: int | None = None) -> str:
        return ""

    async def follow(self, namespace: str, pod: str, *, lines: int | None = None) -> AsyncIterator[str]:
        return
        yield

    async def close(self) -> None:
        return None

    # -- what a cluster does by itself -------------------------------------------------------------------------------

    def set_pod_status(self, namespace: str, name: str, **status: Any) -> None:
        key = (PODS, namespace, name)
        if key in self.objects:
            body = copy.deepcopy(self.objects[key])
            body["status"] = body["status"] | status
            self.put(key, body, "MODIFIED")

    def remove(self, key: Key) -> None:
        body = self.objects.pop(key)
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", key[0], body)
        if key[0] == JOBS:
            task = asyncio.get_running_loop().create_task(self._collect(body["metadata"]["uid"]))
            self.collecting.add(task)
            task.add_done_callback(self.collecting.discard)

    async def _collect(self, owner: str) -> None:
        await asyncio.sleep(0.05)
        for (resource, namespace, name), body in list(self.objects.items()):
            if any(each["uid"] == owner for each in body["metadata"].get("ownerReferences", [])):
                await self.delete(resource, namespace, name)

    def put(self, key: Key, body: Object, kind: str) -> None:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = body
        self._tell(kind, key[0], body)

    def _tell(self, kind: str, resource: Resource, body: Object) -> None:
        for listener in list(self.listeners):
            listener(kind, resource, copy.deepcopy(body))

    def _asked(self, verb: str, resource: Resource, sub: str = "") -> None:
        self.requests[verb, resource.plural] += 1
        self.used.add((resource.group, resource.plural + sub, verb))
        if self.down is not None:
            raise self.down

    async def _writing(self, what: str) -> None:
        await asyncio.sleep(0)
        self.writes.append(what)
        self.fault(len(self.writes), False)

    def _written(self) -> None:
        self.fault(len(self.writes), True)


def merged(base: Object, patch: Object) -> Object:
    """A JSON merge patch (RFC 7386)."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result[key] if isinstance(result.get(key), dict) else {}, value)
        else:
            result[key] = value
    return result


class Kubelet:
    """Runs the worker of every pod that is created, as a process of this machine, and reports how it ends."""

    def __init__(self, kube: FakeKube, address: str, secure: str) -> None:
        self._kube = kube
        self._address, self._secure = address, secure
        self._root = Path(tempfile.mkdtemp(prefix="kubelet-"))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.hold = False
        """Pods that are created stay Pending."""
        kube.listeners.append(self._heard)

    def _heard(self, kind: str, resource: Resource, body: Object) -> None:
        if resource != PODS:
            return
        name = body["metadata"]["name"]
        if kind == "ADDED" and not self.hold:
            self._tasks[name] = asyncio.get_running_loop().create_task(self._run(body))
        elif kind == "MODIFIED" and "deletionTimestamp" in body["metadata"]:
            self.kill(name, signal.SIGCONT)
            self.kill(name, signal.SIGTERM)

    def freeze(self) -> None:
        """All workers stop where they are; they go on when they are told to end."""
        for name in self.processes:
            self.kill(name, signal.SIGSTOP)

    def thaw(self) -> None:
        for name in self.processes:
            self.kill(name, signal.SIGCONT)

    def kill(self, name: str, number: signal.Signals) -> None:
        """As a container runtime does it: SIGTERM goes to the container's first process, all others reach every one."""
        process = self.processes.get(name)
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if number is signal.SIGTERM:
                    process.send_signal(number)
                else:
                    os.killpg(process.pid, number)

    async def _run(self, pod: Object) -> None:
        metadata = pod["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        container = pod["spec"]["containers"][0]
        secret = next(v["secret"]["secretName"] for v in pod["spec"]["volumes"] if v["name"] == "token")
        held = next((b for k, b in self._kube.objects.items() if k[2] == secret), None)
        folder = self._root / name
        folder.mkdir()
        if held is None:
            waiting = {"reason": "CreateContainerConfigError", "message": f"secret {secret} not found"}
            self._kube.set_pod_status(
                namespace, name, containerStatuses=[{"name": "worker", "state": {"waiting": waiting}}]
            )
            return
        for entry, content in held["stringData"].items():
            (folder / entry).write_text(content)
        env = {e["name"]: e["value"] for e in container["env"] if "value" in e}
        env |= {
            "SHUFFLE_INCARNATION": metadata["uid"],
            "SHUFFLE_ADVERTISE": "127.0.0.1",
            "SHUFFLE_HOST": "127.0.0.1",
            "SHUFFLE_PORT": "0",
            "SHUFFLE_TOKEN_FILE": str(folder / "token"),
            "SHUFFLE_SCRATCH": str(folder),
            "SHUFFLE_COORDINATOR": self._secure if "SHUFFLE_TLS" in env else self._address,
        }
        if "SHUFFLE_TLS" in env:
            env["SHUFFLE_TLS"] = str(folder)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shuffle_worker",
            env={**os.environ, **env},
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.processes[name] = process
        self._kube.set_pod_status(
            namespace, name, phase="Running", containerStatuses=[{"name": "worker", "state": {"running": {}}}]
        )
        assert process.stderr is not None
        said = (await process.stderr.read())[-2000:].decode(errors="replace")
        code = await process.wait()
        code = 128 - code if code < 0 else code
        state = {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": said}}
        self._kube.set_pod_status(
            namespace,
            name,
            phase="Succeeded" if code == 0 else "Failed",
            containerStatuses=[{"name": "worker", "state": state}],
        )
        body = self._kube.objects.get((PODS, namespace, name))
        if body is not None and "deletionTimestamp" in body["metadata"]:
            self._kube.remove((PODS, namespace, name))

    async def close(self) -> None:
        for name in self.processes:
            self.kill(name, signal.SIGKILL)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        import shutil

        shutil.rmtree(self._root, ignore_errors=True)
