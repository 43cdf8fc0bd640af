"""Runs one command in a group, watches it, and ends everything that it started."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.limits import Group

SAMPLE_SECONDS = 0.1
DISK_EVERY = 5
"""The scratch folder is walked at every fifth sample: it may hold thousands of files."""


@dataclass(frozen=True)
class Measurement:
    """What a command used. Bytes are the peaks seen; `exit_code` is None when it ran out of time."""

    exit_code: int | None
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    peak_scratch: int
    memory_kills: int
    last_line: str
    stdout: str


def run(
    command: list[str], group: Group, scratch: Path, log: Path, timeout: float, environment: dict[str, str], cwd: Path
) -> Measurement:
    """Run `command` to its end or for `timeout` seconds. Standard error goes to `log`, standard output to a file beside
    it, so a command can write as much as it likes. The group is closed and none of its processes lives on
    afterwards, whatever happens."""
    output = log.with_suffix(".out")
    watcher = _Watcher(group, scratch)
    try:
        with log.open("wb") as errors, output.open("wb") as out:
            started = time.perf_counter()
            process = subprocess.Popen(
                group.wrap(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
            try:
                group.started(process.pid)
                watcher.start()
                exit_code: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                exit_code = None
            finally:
                wall = time.perf_counter() - started
                _end(group)
                process.wait()
        return Measurement(
            exit_code=exit_code,
            wall_seconds=wall,
            cpu_seconds=group.cpu_seconds(),
            peak_memory=watcher.memory,
            peak_scratch=watcher.scratch,
            memory_kills=group.memory_kills(),
            last_line=_last_line(log) or _last_line(output),
            stdout=output.read_text(errors="replace"),
        )
    finally:
        watcher.stop()
        group.close()


class _Watcher:
    """A thread that keeps the peaks."""

    def __init__(self, group: Group, scratch: Path) -> None:
        self.memory = 0
        self.scratch = 0
        self._group, self._folder = group, scratch
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        turn = 0
        while not self._done.is_set():
            self.memory = max(self.memory, self._group.memory())
            if turn % DISK_EVERY == 0:
                self.scratch = max(self.scratch, bytes_under(self._folder, self._group.members()))
            turn += 1
            self._done.wait(SAMPLE_SECONDS)


def bytes_under(folder: Path, processes: list[psutil.Process]) -> int:
    """Bytes allocated to files in `folder`, and to files on its disk that some of `processes` hold open though their
    names are gone: spilling into an unlinked file is still spilling."""
    found: dict[tuple[int, int], int] = {}
    disk = folder.stat().st_dev
    for parent, _, names in os.walk(folder):
        for name in names:
            _add(found, Path(parent, name), follow=False, unlinked=False, disk=disk)
    for process in processes:
        try:
            handles = list(Path(f"/proc/{process.pid}/fd").iterdir())
        except OSError:  # it has just ended, or is not ours to look into
            continue
        for handle in handles:
            _add(found, handle, follow=True, unlinked=True, disk=disk)
    return sum(found.values())


def _add(found: dict[tuple[int, int], int], path: Path, *, follow: bool, unlinked: bool, disk: int) -> None:
    try:
        info = path.stat(follow_symlinks=follow)
    except OSError:
        return
    if stat.S_ISREG(info.st_mode) and info.st_dev == disk and (not unlinked or info.st_nlink == 0):
        found[info.st_dev, info.st_ino] = info.st_blocks * 512


def _end(group: Group) -> None:
    """Kill what is left, until nothing is: a process may be starting another just now. Only members of the group are
    touched, and psutil refuses a process id that has been given to another process meanwhile."""
    for _ in range(100):
        members = group.members()
        if not members:
            return
        for process in members:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(members, timeout=0.1)
    raise RuntimeError(f"{len(group.members())} processes of the measured command could not be ended")


def _last_line(file: Path) -> str:
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:300]
