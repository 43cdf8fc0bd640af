"""A whole operator without a cluster: its own loop, HTTP API and machines; the API server and the kubelet are fakes,
the workers real processes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.handlers.watch import Watch
from shuffle_operator.kube.api import EVENTS, JOBS, PODS, Object, Resource
from shuffle_operator.launchers.pod import SELECTOR
from shuffle_operator.operator import Operator
from shuffle_operator.settings import OperatorSettings
from tests.operator.fake_kube import FakeKube, Kubelet

NAMESPACE, OPERATORS = "data", "operators"


class FakeWatch(Watch):
    """What the fake API server says goes straight to the cache."""

    def listen(self, kube: FakeKube) -> None:
        kube.listeners.append(self._hear)
        self._fake = kube

    def _hear(self, kind: str, resource: Resource, body: Object) -> None:
        self.heard = time.monotonic()
        if resource == JOBS:
            self._cache.drop_job(body["metadata"]["uid"]) if kind == "DELETED" else self._cache.put_job(body)
        elif (
            resource == PODS
            and body["metadata"].get("labels", {}).items()
            >= dict(pair.split("=") for pair in SELECTOR.split(",")).items()
        ):
            self._cache.drop_pod(body) if kind == "DELETED" else self._cache.put_pod(body)

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        ready.set()
        try:
            await stop.wait()
        finally:
            self._fake.listeners.remove(self._hear)


def _free_port() -> int:
    """Below those that the system gives to clients, so that it is still free when an operator comes back to it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Stage:
    """One operator at a time, over one API server. tls, policies: may be changed between operators."""

    def __init__(self, kube: FakeKube, machine: Settings) -> None:
        self.kube = kube
        self.tls = True
        self.policies = False
        self.most_jobs = 0
        self.pages_token: Path | None = None
        """The file with the token of the jobs' pages; None: there are no pages."""
        self.machine = machine
        self.operator: Operator | None = None
        self.kubelet: Kubelet | None = None
        self._port, self._tls_port, self._pages_port = _free_port(), _free_port(), _free_port()
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def start(self, kubelet: bool = True) -> Operator:
        """A new operator; the port stays, as a Service's address does."""
        settings = OperatorSettings(
            "worker:1",
            "http://operator.test:8080",
            [NAMESPACE],
            host="127.0.0.1",
            port=self._port,
            tls_address="https://operator.test:8443" if self.tls else "",
            tls_port=self._tls_port,
            pod_namespace=OPERATORS,
            network_policies=self.policies,
            max_running_jobs=self.most_jobs,
            dashboard_port=self._pages_port if self.pages_token is not None else 0,
            dashboard_token_file=str(self.pages_token or ""),
        )
        operator = self.operator = Operator(settings, self.kube, self.machine)
        watch = FakeWatch(operator.cache, self.kube, [NAMESPACE])
        watch.listen(self.kube)
        operator.watch = watch
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(operator.run(self._stop))
        while not operator.ready.is_set():
            if self._running.done():
                self._running.result()
            await asyncio.sleep(0.01)
        if kubelet and self.kubelet is None:
            self.kubelet = Kubelet(self.kube, self.address, self.secure)
        return operator

    def watch(self) -> Watch:
        assert self.operator is not None
        return self.operator.watch

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def secure(self) -> str:
        return f"https://127.0.0.1:{self._tls_port}"

    @property
    def pages(self) -> str:
        return f"http://127.0.0.1:{self._pages_port}"

    async def kill(self) -> None:
        """As SIGKILL would: nothing is finished, and nobody learns of it."""
        assert self._running is not None
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        if self.operator is not None:
            await self.operator.server.stop()  # the system closes the sockets of the dead

    async def submit(self, body: Object) -> Object:
        return await self.kube.create(JOBS, NAMESPACE, body)

    def job(self, name: str = "sorted") -> Object:
        return self.kube.objects[JOBS, NAMESPACE, name]

    def status(self, name: str = "sorted") -> Object:
        found: Object = self.job(name).get("status") or {}
        return found

    def pods(self) -> dict[str, Object]:
        return {name: body for (kind, _, name), body in self.kube.objects.items() if kind == PODS}

    def events(self) -> list[str]:
        return [body["reason"] for (kind, _, _), body in self.kube.objects.items() if kind == EVENTS]

    async def until(self, holds: Callable[[], Any], within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, self.describe()
            if self._running is not None and self._running.done() and not self._running.cancelled():
                self._running.result()
            await asyncio.sleep(0.02)

    def describe(self) -> str:
        jobs = {name: body.get("status") for (kind, _, name), body in self.kube.objects.items() if kind == JOBS}
        pods = {name: body["status"] for name, body in self.pods().items()}
        return f"{jobs}\n{pods}\n{self.kube.writes[-20:]}"

    async def close(self) -> None:
        if self._running is not None and not self._running.done():
            self._stop.set()
            await asyncio.wait([self._running], timeout=5)
            await self.kill()
        if self.kubelet is not None:
            await self.kubelet.close()


def sort_job(events: Path, output: Path, name: str = "sorted", **spec: Any) -> Object:
    return {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": name},
        "spec": {
            "operation": {"sort": {"by": [{"column": "key"}, {"column": "id"}]}},
            "inputs": [{"path": str(events)}],
            "output": {"path": str(output), "partitions": 4},
            "workers": {"replicas": 2, "resources": {"limits": {"memory": "512Mi"}}},
        }
        | spec,
    }
