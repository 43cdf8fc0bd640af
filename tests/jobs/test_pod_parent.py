"""The parent of several workers in one container: real processes, whose worker is a few lines of Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shuffle_protocol import trail
from shuffle_worker.runtime import environment
from shuffle_worker.runtime.scratch import ScratchFolder
from shuffle_worker.worker.pod import is_parent

PARENT = """
import ctypes, os, sys
from pathlib import Path
from shuffle_worker.worker.pod import Pod
ctypes.CDLL(None).prctl(36, 1)  # it gets orphans, as process 1 does
sys.exit(Pod(3, [sys.executable, "-c", sys.argv[1]], os.environ, Path("last words")).run())
"""
WORKER = """
import os, signal, sys, time
from pathlib import Path
number = os.environ["SHUFFLE_NUMBER_HERE"]
def note(what): Path(what + number).write_text(str(os.getpid()))
def asked(*_): note("asked"); sys.exit(143)
signal.signal(signal.SIGTERM, asked)
note("there")
def wait_for_all():
    while not all(Path(f"there{n}").exists() for n in range(3)): time.sleep(0.01)
def for_ever():
    os.read(0, 1); note("orphaned"); sys.exit(0)
"""


class Container:
    def __init__(self, folder: Path, worker: str) -> None:
        self.folder = folder
        command = [sys.executable, "-c", PARENT, WORKER + worker]
        self.parent = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, list[str]]:
        """Its exit code, and what was written to standard error."""
        _, said = self.parent.communicate(timeout=60)
        return self.parent.returncode, said.splitlines()

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def has(self, *names: str) -> Callable[[], bool]:
        return lambda: all((self.folder / name).exists() and (self.folder / name).read_text() for name in names)

    def alive(self) -> list[int]:
        pids = [int(file.read_text()) for file in self.folder.glob("there*")]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    @property
    def last_words(self) -> str:
        file = self.folder / "last words"
        return file.read_text() if file.exists() else ""


def test_it_ends_with_the_last_of_its_workers(tmp_path: Path) -> None:
    container = Container(tmp_path, "time.sleep(0.1 * int(number)); note('done')")
    assert container.end() == (0, [])
    assert all((tmp_path / f"done{n}").exists() for n in range(3))
    assert container.last_words == ""


def test_a_worker_that_fails_ends_all_with_its_exit_code_and_says_who_it_was(tmp_path: Path) -> None:
    container = Container(tmp_path, "wait_for_all()\nif number == '1': raise ValueError('what it was')\nfor_ever()")
    code, said = container.end()
    assert code == 1
    assert said[-2:] == ["ValueError: what it was", "worker 1 of the 3 in this pod failed"]
    assert trail.blamed("\n".join(said)) == 1
    assert container.last_words == ""  # so that the end of the log takes its place
    assert container.alive() == []
    assert not (tmp_path / "asked0").exists()


def test_a_worker_that_crashes_is_named_with_the_file_that_it_was_at(tmp_path: Path) -> None:
    crash = (
        "from shuffle_protocol import trail\n"
        "trail.keep(Path(os.environ['SHUFFLE_TRAIL']))\n"
        "wait_for_all()\n"
        "with trail.at(f'reading file {number}'):\n"
        "    os.kill(os.getpid(), signal.SIGSEGV) if number == '2' else for_ever()\n"
    )
    container = Container(tmp_path, crash)
    code, _ = container.end()
    assert code == 128 + signal.SIGSEGV
    assert trail.blamed(container.last_words) == 2
    assert trail.said(container.last_words) == "reading file 2"
    assert container.alive() == []


def test_a_worker_that_is_killed_takes_the_others_with_it(tmp_path: Path) -> None:
    container = Container(tmp_path, "for_ever()")
    container.until(container.has("there0", "there1", "there2"))
    os.kill(int((tmp_path / "there0").read_text()), signal.SIGKILL)
    code, _ = container.end()
    assert code == 128 + signal.SIGKILL
    assert trail.blamed(container.last_words) == 0
    assert container.alive() == []


def test_all_are_told_when_it_is_to_end_and_are_waited_for(tmp_path: Path) -> None:
    worker = "def asked(*_): time.sleep(0.2 * int(number)); note('asked'); sys.exit(143)\n"
    container = Container(tmp_path, f"{worker}signal.signal(signal.SIGTERM, asked)\nnote('ready')\nfor_ever()")
    container.until(container.has("ready0", "ready1", "ready2"))
    container.parent.send_signal(signal.SIGTERM)
    code, said = container.end()
    assert (code, said) == (143, [])
    assert container.has("asked0", "asked1", "asked2")()
    assert container.last_words == ""


def test_one_that_fails_while_all_leave_does_not_end_the_others(tmp_path: Path) -> None:
    worker = "def asked(*_): time.sleep(0.3); note('asked'); sys.exit(143)\nif number == '0':\n    asked = None\n"
    worker += "signal.signal(signal.SIGTERM, asked or (lambda *_: sys.exit(9)))\nnote('ready')\nfor_ever()"
    container = Container(tmp_path, worker)
    container.until(container.has("ready0", "ready1", "ready2"))
    container.parent.send_signal(signal.SIGTERM)
    code, said = container.end()
    assert code == 9
    assert said == ["worker 0 of the 3 in this pod failed"]
    assert container.has("asked1", "asked2")()


def test_workers_see_that_their_parent_was_killed(tmp_path: Path) -> None:
    container = Container(tmp_path, "for_ever()")
    container.until(container.has("there0", "there1", "there2"))
    container.parent.kill()
    container.end()
    container.until(container.has("orphaned0", "orphaned1", "orphaned2"))


def test_orphans_are_reaped_and_taken_for_no_worker(tmp_path: Path) -> None:
    worker = "if number == '0' and os.fork() == 0:\n    os.fork() or os._exit(7)\n    os._exit(8)\ntime.sleep(0.3)"
    assert Container(tmp_path, worker).end() == (0, [])


def test_a_worker_alone_needs_no_parent() -> None:
    assert not is_parent({})
    assert not is_parent({environment.COUNT: "1"})
    assert is_parent({environment.COUNT: "2"})
    assert not is_parent({environment.COUNT: "2", environment.NUMBER: "0"})


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text("secret")
    return {
        "SHUFFLE_COORDINATOR": "http://operator:8080",
        "SHUFFLE_JOB": "uid",
        "SHUFFLE_TOKEN_FILE": str(tmp_path / "token"),
        "SHUFFLE_WORKER": "6",
        "SHUFFLE_INCARNATION": "ab-cd",
        "SHUFFLE_ADVERTISE": "10.0.0.7",
        "SHUFFLE_PORT": "7077",
        "SHUFFLE_MEMORY": str(3 << 30),
        "SHUFFLE_FUNCTIONS_MEMORY": str(1 << 30),
        "SHUFFLE_SLOTS": "5",
        "SHUFFLE_SCRATCH": str(tmp_path),
        "SHUFFLE_SCRATCH_LIMIT": str(30 << 30),
    }


def test_each_worker_of_a_container_has_its_part(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.runtime.cgroup.limit", lambda: None)
    several = {**variables, environment.COUNT: "3"}
    parts = [environment.config_from({**several, environment.NUMBER: str(number)}) for number in range(3)]
    assert [part.worker for part in parts] == [6, 7, 8]
    assert [part.incarnation for part in parts] == ["abcd.0", "abcd.1", "abcd.2"]
    assert [part.port for part in parts] == [7077, 7078, 7079]
    assert [part.slots for part in parts] == [2, 2, 1]
    assert {part.memory for part in parts} == {1 << 30}
    assert {part.functions for part in parts} == {(1 << 30) // 3}
    assert {part.scratch_limit for part in parts} == {10 << 30}
    assert {part.scratch_share for part in parts} == {3}
    assert all(part.watch_stdin for part in parts)
    assert len({part.scratch for part in parts}) == 3
    alone = environment.config_from(variables)
    assert (alone.worker, alone.incarnation, alone.port, alone.slots) == (6, "abcd", 7077, 5)
    assert (alone.memory, alone.scratch_limit, alone.watch_stdin) == (3 << 30, 30 << 30, False)


def test_a_container_that_got_less_memory_than_was_asked_for_shares_that(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shuffle_worker.runtime.cgroup.limit", lambda: 1 << 30)
    part = environment.config_from({**variables, environment.COUNT: "2", environment.NUMBER: "1"})
    assert part.memory == 1 << 29


def test_what_is_spilled_has_room_where_all_parts_of_scratch_together_have(tmp_path: Path) -> None:
    folder = ScratchFolder(tmp_path, share=2, limit=1 << 20)
    folder.check(4 << 20, workers=4)
    with pytest.raises(Exception, match="scratch"):
        folder.check(5 << 20, workers=4)
