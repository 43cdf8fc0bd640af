"""A measured command: what it used is seen, and nothing of it is left, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    made = cgroup() if request.param == "cgroup" else Sampled("a test")
    yield made
    made.close()
    assert made.enforced is (request.param == "cgroup")


def run(program: str, group: Group, folder: Path, timeout: float = 20) -> measure.Measurement:
    scratch = folder / "scratch"
    scratch.mkdir()
    environment = os.environ | {"SCRATCH": str(scratch)}
    return measure.run([sys.executable, "-c", program], group, scratch, folder / "log", timeout, environment, folder)


def test_figures_of_a_whole_tree(group: Group, tmp_path: Path) -> None:
    child = "import time; held = b'x' * 60_000_000; time.sleep(0.4)"
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); sum(range(5_000_000)); print(7)"
    )
    used = run(program, group, tmp_path)
    assert used.exit_code == 0
    assert used.stdout == "7\n"
    assert 60_000_000 < used.peak_memory < 150_000_000
    assert used.cpu_seconds > 0.02
    assert used.wall_seconds > 0.4  # the child's sleep


def test_spilled_bytes_count_while_the_file_is_there_or_open(group: Group, tmp_path: Path) -> None:
    program = (
        "import os, time; p = os.environ['SCRATCH']\n"
        "open(p + '/a', 'wb').write(os.urandom(1_000_000))\n"
        "f = open(p + '/b', 'wb'); os.unlink(p + '/b'); f.write(os.urandom(2_000_000)); f.flush(); time.sleep(1)"
    )
    assert 2_900_000 < run(program, group, tmp_path).peak_scratch < 3_500_000


def test_time_runs_out_and_orphans_are_ended(group: Group, tmp_path: Path) -> None:
    program = (
        "import subprocess, time\nsubprocess.run(['sh', '-c', 'setsid sleep 60 & echo $!; sleep 0.5']); time.sleep(60)"
    )
    used = run(program, group, tmp_path, timeout=1.3)
    assert used.exit_code is None
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
