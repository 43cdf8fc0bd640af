"""Ways to break things on the local cluster, where a node is a namespace and a container a process of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.harness.cluster import Cluster
from e2e.harness.kubectl import Object
from e2e.harness.process import run
from e2e.harness.waiting import until

ATTACH, POKE_USER, DETACH, WALL = 16, 6, 17, 0x40000000
ORIG_RAX, RIP = 15 * 8, 16 * 8
"""Of ptrace(2) and struct user, on x86-64."""


def derail(pid: int) -> None:
    """Let a process go on at address 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request: int, at: int = 0, value: int = 0) -> None:
        if libc.ptrace(request, pid, at, value) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request} of {pid}")

    ptrace(ATTACH)
    try:
        os.waitpid(pid, WALL)
        ptrace(POKE_USER, ORIG_RAX, (1 << 64) - 1)  # no system call is to be begun again
        ptrace(POKE_USER, RIP, 0)
    finally:
        ptrace(DETACH)


@dataclass(frozen=True)
class Faults:
    cluster: Cluster

    def process(self, pod: Object) -> int:
        """The pid, on this machine, of the first container's first process."""
        status = pod["status"]["containerStatuses"][0]
        container = status["containerID"].removeprefix("containerd://")
        node = pod["spec"]["nodeName"]
        socket = self.cluster.state / node / "run" / "containerd.sock"
        tasks = run(["ctr", "-a", socket, "-n", "k8s.io", "task", "ls"])
        return next(int(line.split()[1]) for line in tasks.splitlines() if line.startswith(container))

    def workers(self, pod: Object) -> list[int]:
        """The same of a pod with several workers: their pids, below its first process."""
        parent = self.process(pod)
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def kill(self, pod: Object) -> None:
        """The process ends at once, as if it had crashed; the pod is still there."""
        os.kill(self.process(pod), signal.SIGKILL)

    def crash(self, pod: Object) -> None:
        """The process runs into a bad address (SIGSEGV). A signal that is sent would not do: a container's first
        process outlives those."""
        derail(self.process(pod))

    @contextlib.contextmanager
    def store_away(self) -> Iterator[None]:
        """Nothing answers at the S3 server's address for a while."""
        self.cluster.s3("away")
        try:
            yield
        finally:
            self.cluster.s3()

    def squeeze(self, pod: Object) -> None:
        """Its memory limit becomes what it uses now: the kernel ends it at the next page."""
        lines = Path(f"/proc/{self.process(pod)}/cgroup").read_text().splitlines()
        group = next(line.split(":")[2] for line in lines if line.split(":")[1] == "memory")
        folder = Path(f"/sys/fs/cgroup/memory{group}")
        used = int((folder / "memory.usage_in_bytes").read_text())
        (folder / "memory.limit_in_bytes").write_text(str(used + (1 << 18)))

    def fill(self, pod: Object, volume: str, size: int) -> None:
        """A file of this size in one of its emptyDirs."""
        kubelet = self.cluster.state / pod["spec"]["nodeName"] / "kubelet"
        folder = kubelet / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir" / volume
        with (folder / "filler").open("wb") as stream:
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))

    @contextlib.contextmanager
    def frozen(self, pod: Object) -> Iterator[None]:
        """The process does nothing for a while; its connections stay open."""
        pid = self.process(pod)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def cut(self, node: str) -> Iterator[None]:
        """A node out of reach; its pods live on. Afterwards it is waited for."""
        with self.unreachable(node):
            yield
        self.until_ready(node)

    @contextlib.contextmanager
    def unreachable(self, node: str) -> Iterator[None]:
        """The same, not waited for."""
        self.cluster.node("cut", node)
        try:
            yield
        finally:
            self.cluster.node("mend", node)

    def until_ready(self, node: str) -> None:
        kubectl = self.cluster.kubectl

        def ready() -> bool:
            return "True" in kubectl("get", "node", node, "--output=jsonpath={.status.conditions[-1:].status}")

        until(f"node {node} is ready again", ready, seconds=180)

    @contextlib.contextmanager
    def slow(self, coming: str = "40mbit", going: str = "24mbit") -> Iterator[None]:
        """What comes to a node (from S3, from other nodes) and what goes from it does so at these rates, so that phases
        last long enough to be hit: what comes bounds Transferring, what goes Writing."""
        name = os.environ.get("E2E_NAME", "shuffle")
        nodes = [node["metadata"]["name"] for node in self.cluster.kubectl.list("nodes")]
        links = [(f"{name}-cp", f"{name}-v{node.removeprefix('n')}", coming) for node in nodes]
        links += [(f"{name}-{node}", "eth0", going) for node in nodes]

        def shape(space: str, *words: str, check: bool = True) -> None:
            run(["nsenter", f"--net=/run/netns/{space}", "tc", "qdisc", *words], check=check)

        for space, link, rate in links:
            tbf = ["tbf", "rate", rate, "burst", "256kbit", "latency", "400ms"]
            shape(space, "replace", "dev", link, "root", *tbf)
        try:
            yield
        finally:
            for space, link, _ in links:
                shape(space, "del", "dev", link, "root", check=False)
