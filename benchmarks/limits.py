"""Holds a command to a memory limit and reads what its whole process tree uses.

`group_for` gives the best that this machine and this user allow, one for each command:

    CgroupV1, CgroupV2   limit enforced by the kernel; memory and CPU time are exact for every process ever started
    Sampled              no permission: nothing is enforced; the tree is walked several times a second

Memory means anonymous pages plus shared memory, each page once: what cannot be dropped. Page cache is not counted
as used, but inside a group it does compete for the limit, as it does in a container.

A group is made below the one that this process is in where that one has a limit, so that a limit around us still holds.
"""

from __future__ import annotations

import os
import resource
import shlex
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import psutil

NAME = "shuffle-benchmark"
PAGE_COUNTER_LIMIT = 1 << 60
"""A v1 limit above this is the kernel's way to say that there is none."""


class Group(Protocol):
    """One command and everything that it starts.

    enforced  the kernel holds it to the limit
    """

    enforced: bool

    def wrap(self, command: list[str]) -> list[str]:
        """The command that starts `command` inside the group."""

    def started(self, pid: int) -> None:
        """Told once the command runs, with its process id."""

    def memory(self) -> int:
        """Bytes used now by all its processes."""

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far, those that have ended included."""

    def members(self) -> list[psutil.Process]:
        """Its living processes."""

    def memory_kills(self) -> int:
        """How many of its processes the kernel has killed for memory."""

    def close(self) -> None:
        """Give everything back; the processes are gone by now. A second call does nothing."""


class _Cgroup:
    """What both versions share: processes are put in by the shell that then becomes the command, so that no child of
    it can be born outside."""

    enforced = True
    required: tuple[str, ...] = ()
    """Settings that must be taken; the others are for kernels that know them (swap accounting)."""

    def __init__(self, folders: list[Path], settings: dict[str, str]) -> None:
        """Make the folders and write `settings` (file -> value) into the first; all or nothing."""
        self._folders: list[Path] = []
        try:
            for folder in folders:
                folder.mkdir()
                self._folders.append(folder)
            for name, value in settings.items():
                file = folders[0] / name
                if file.exists() or name in self.required:
                    file.write_text(value)
        except OSError:
            self.close()
            raise

    def wrap(self, command: list[str]) -> list[str]:
        joins = " && ".join(f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in self._folders)
        return ["sh", "-c", f'{joins} && exec "$@"', "sh", *command]

    def started(self, pid: int) -> None:
        pass

    def members(self) -> list[psutil.Process]:
        return list(_processes(int(line) for line in (self._folders[0] / "cgroup.procs").read_text().split()))

    def close(self) -> None:
        for folder in self._folders:
            for _ in range(50):  # the kernel lets go of the last process a moment after it has ended
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)


class CgroupV1(_Cgroup):
    required = ("memory.limit_in_bytes",)

    def __init__(self, memory: Path, cpu: Path, limit: int) -> None:
        name = f"{NAME}-{os.getpid()}"
        settings = {"memory.limit_in_bytes": str(limit), "memory.memsw.limit_in_bytes": str(limit)}
        super().__init__([memory / name, cpu / name], settings)
        self._memory, self._cpu = self._folders

    def memory(self) -> int:
        counters = _counters(self._memory / "memory.stat")
        return counters["total_rss"] + counters.get("total_shmem", 0)

    def cpu_seconds(self) -> float:
        return int((self._cpu / "cpuacct.usage").read_text()) / 1e9

    def memory_kills(self) -> int:
        return _counters(self._memory / "memory.oom_control").get("oom_kill", 0)


class CgroupV2(_Cgroup):
    required = ("memory.max",)

    def __init__(self, parent: Path, limit: int) -> None:
        super().__init__([parent / f"{NAME}-{os.getpid()}"], {"memory.max": str(limit), "memory.swap.max": "0"})
        self._folder = self._folders[0]

    def memory(self) -> int:
        counters = _counters(self._folder / "memory.stat")
        return counters["anon"] + counters["shmem"]

    def cpu_seconds(self) -> float:
        return _counters(self._folder / "cpu.stat")["usage_usec"] / 1e6

    def memory_kills(self) -> int:
        return _counters(self._folder / "memory.events").get("oom_kill", 0)


class Sampled:
    """Walks the tree below the command. A shared page counts once for each process that has touched it, and CPU time is
    that of the processes that were waited for."""

    enforced = False

    def __init__(self, why: str) -> None:
        self.why = why
        self._seen: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()
        self._before = _children_cpu()

    def wrap(self, command: list[str]) -> list[str]:
        return command

    def started(self, pid: int) -> None:
        self._seen |= {process.pid: process for process in _processes([pid])}

    def members(self) -> list[psutil.Process]:
        """Also those whose parent has gone since: whatever was once seen below the command, while it lives."""
        with self._lock:
            for process in list(self._seen.values()):
                try:
                    self._seen |= {child.pid: child for child in process.children(recursive=True)}
                except psutil.NoSuchProcess:
                    continue
            self._seen = {pid: process for pid, process in self._seen.items() if process.is_running()}
            return [process for process in self._seen.values() if _alive(process)]

    def memory(self) -> int:
        return sum(_private_and_shared(process.pid) for process in self.members())

    def cpu_seconds(self) -> float:
        return _children_cpu() - self._before

    def memory_kills(self) -> int:
        return 0

    def close(self) -> None:
        pass


def group_for(limit: int, enforce: bool = True) -> Group:
    """A new group with a limit of that many bytes, or `Sampled` where that is not allowed or not wanted."""
    if enforce:
        for make in (_new_v1, _new_v2):
            try:
                group = make(limit)
            except OSError:  # not writable, not delegated: the next kind may be
                continue
            if group is not None:
                return group
    return Sampled("no permission to make a cgroup" if enforce else "not asked for")


def describe(group: Group) -> str:
    """One phrase for the table's header."""
    if isinstance(group, Sampled):
        return f"memory limits NOT enforced ({group.why}), memory sampled over the process tree"
    return f"memory limits enforced by a cgroup ({'v1' if isinstance(group, CgroupV1) else 'v2'})"


def _new_v1(limit: int) -> Group | None:
    mounts, own = _mounts("cgroup"), _own_groups()
    memory, cpu = mounts.get("memory"), mounts.get("cpuacct")
    if memory is None or cpu is None:
        return None
    current = memory / own.get("memory", "").lstrip("/")
    limited = current / "memory.limit_in_bytes"
    if limited.exists() and int(limited.read_text()) < PAGE_COUNTER_LIMIT:
        memory = current
    return CgroupV1(memory, cpu, limit)


def _new_v2(limit: int) -> Group | None:
    """Below our own group if that may have children with a memory controller; else beside it, as a scope would be."""
    root = _mounts("cgroup2").get("")
    if root is None:
        return None
    current = root / _own_groups().get("", "").lstrip("/")
    for parent in (current, current.parent):
        control = parent / "cgroup.subtree_control"
        if parent.is_relative_to(root) and control.exists() and "memory" in control.read_text().split():
            return CgroupV2(parent, limit)
    return None


def _mounts(kind: str) -> dict[str, Path]:
    """Controller -> where it is mounted; version 2 has one mount, under ""."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fields = right.split()
        if fields[0] == kind:
            folder = Path(left.split()[4])
            found |= dict.fromkeys(fields[2].split(",") if kind == "cgroup" else [""], folder)
    return found


def _own_groups() -> dict[str, str]:
    """Controller -> the group of this process; version 2 under ""."""
    groups: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), group)
    return groups


def _counters(file: Path) -> dict[str, int]:
    return {key: int(value) for key, _, value in (line.partition(" ") for line in file.read_text().splitlines())}


def _processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _private_and_shared(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
