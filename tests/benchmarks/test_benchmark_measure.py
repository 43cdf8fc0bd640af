"""A measured command: what it used is seen, and nothing of it is left, however it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from benchmarks import limits, measure
from benchmarks.limits import Group, Sampled

LIMIT = 200_000_000


def cgroup() -> Group:
    made = limits.group_for(LIMIT)
    if isinstance(made, Sampled):
        pytest.skip("this user may not make a cgroup here")
    return made


@pytest.fixture(params=["sampled", "cgroup"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Group]]:
    """Makes groups of one kind, each for one command."""
    made: list[Group] = []

    def one() -> Group:
        made.append(cgroup() if request.param == "cgroup" else Sampled("a test"))
        return made[-1]

    yield one
    for group in made:
        group.close()
        assert group.enforced is (request.param == "cgroup")


@pytest.fixture
def group(make: Callable[[], Group]) -> Group:
    return make()


def run(program: str, group: Group, folder: Path, timeout: float = 100) -> measure.Measurement:
    """timeout: far beyond what a busy machine takes; only a program that hangs takes as long."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    environment = os.environ | {"SCRATCH": str(scratch), "SIGNALS": str(folder)}
    return measure.run([sys.executable, "-c", program], group, scratch, folder / "log", timeout, environment, folder)


HOLD = """
import os, pathlib, time
signals = pathlib.Path(os.environ['SIGNALS'])
def hold():
    (signals / 'ready').touch()
    while not (signals / 'seen').exists():
        time.sleep(0.01)
"""
"""A program calls it where it is to be measured, and goes on once it was, however long a busy machine takes."""


class Seen:
    """A group that tells a program which holds on when it was measured."""

    def __init__(self, group: Group, folder: Path, method: str, times: int) -> None:
        """times: calls of the method, begun while the program held on, after which it may go on."""
        self._group, self._folder, self._method, self._times = group, folder, method, times
        for signal in ("ready", "seen"):
            (folder / signal).unlink(missing_ok=True)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._group, name)
        return self._told(found) if name == self._method else found

    def _told(self, look: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            held = (self._folder / "ready").exists()
            found = look()
            self._times -= held
            if self._times == 0:
                (self._folder / "seen").touch()
            return found

        return call


def holding(size: int, make: Callable[[], Group], folder: Path) -> measure.Measurement:
    """What a program uses whose child holds so many bytes. It prints its own wall and processor time."""
    child = f"{HOLD}\nheld = b'x' * {size}\nhold()"
    program = (
        f"import time; begun = time.monotonic()\n"
        f"import os, subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
        "while time.process_time() < 0.3: pass\n"
        "print(time.monotonic() - begun, sum(os.times()[:4]))"
    )
    return run(program, Seen(make(), folder, "memory", 2), folder)  # type: ignore[arg-type]


def test_figures_of_a_whole_tree(make: Callable[[], Group], tmp_path: Path) -> None:
    """Memory against the same program that holds nothing: the interpreters' own differs from machine to machine. Within
    a tenth, for what the allocator rounds and what of the interpreters is resident at the moment of the look."""
    size = 60_000_000
    begun = time.monotonic()
    used = holding(size, make, tmp_path)
    took = time.monotonic() - begun
    idle = holding(0, make, tmp_path)
    assert used.exit_code == idle.exit_code == 0
    assert 0.9 * size < used.peak_memory - idle.peak_memory < 1.1 * size
    wall, cpu = map(float, used.stdout.split())
    assert wall <= used.wall_seconds <= took
    assert used.cpu_seconds > cpu - 0.05  # the kernel counts in ticks of 10 ms, up and down, for four figures


def test_spilled_bytes_count_while_the_file_is_there_or_open(make: Callable[[], Group], tmp_path: Path) -> None:
    """Against what the file system says that it gave to the files: its blocks are its own affair. The folder is walked
    after the processes were looked at, so the second look says that the first walk is over."""
    program = (
        f"{HOLD}\np = os.environ['SCRATCH']\n"
        "f = open(p + '/a', 'wb'); f.write(os.urandom(1_000_000))\n"
        "g = open(p + '/b', 'wb'); os.unlink(p + '/b'); g.write(os.urandom(2_000_000))\n"
        "for file in (f, g): file.flush(); os.fsync(file.fileno())\n"
        "hold()\n"
        "print(sum(os.fstat(file.fileno()).st_blocks * 512 for file in (f, g)))"
    )
    used = run(program, Seen(make(), tmp_path, "members", 2), tmp_path)  # type: ignore[arg-type]
    assert used.peak_scratch == int(used.stdout) >= 2_900_000


def test_time_runs_out_and_orphans_are_ended(make: Callable[[], Group], tmp_path: Path) -> None:
    """The orphan's parent stays until both were looked at. A machine too busy for that in time gets more of it."""
    shell = "setsid sleep 600 & echo $!; touch $SIGNALS/ready; while [ ! -e $SIGNALS/seen ]; do sleep 0.02; done"
    program = f"import subprocess, time\nsubprocess.run(['sh', '-c', {shell!r}]); time.sleep(600)"
    for timeout in (1.3, 5, 20, 80):
        used = run(program, Seen(make(), tmp_path, "memory", 2), tmp_path, timeout=timeout)  # type: ignore[arg-type]
        assert used.exit_code is None
        if (tmp_path / "seen").exists():
            break
    orphan = int(used.stdout)
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_failure_is_told_with_the_last_line(group: Group, tmp_path: Path) -> None:
    used = run("raise SystemExit('first\\nno such thing\\n\\n')", group, tmp_path)
    assert (used.exit_code, used.last_line) == (1, "no such thing")


def test_a_command_beyond_its_limit_is_killed_for_memory(tmp_path: Path) -> None:
    used = run("held = b'x' * 400_000_000", cgroup(), tmp_path)
    assert used.exit_code is not None and used.exit_code != 0
    assert used.memory_kills == 1


def test_a_group_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    made = cgroup()
    folders = [Path(folder) for folder in made._folders]  # type: ignore[attr-defined]
    run("pass", made, tmp_path)
    assert not any(folder.exists() for folder in folders)


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    def attempt(group: Group) -> measure.Measurement:
        return measure.run(["/no/such/command"], group, tmp_path, tmp_path / "log", 5, dict(os.environ), tmp_path)

    with pytest.raises(FileNotFoundError):
        attempt(Sampled("a test"))
    assert attempt(cgroup()).exit_code == 127  # the shell that enters the group says so
