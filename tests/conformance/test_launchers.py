"""What any launcher must do, run against each implementation; the contract is in `shuffle_operator.launchers.launcher`.

A launcher is given as a stage: a way to open it with workers that find no coordinator and keep looking for one, and to
see and hurt them from outside. Add one to `STAGES` and it runs all of this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil
import pytest

from shuffle_local.processes import LocalLauncher
from shuffle_local.warm import WarmStart
from shuffle_operator.launchers.launcher import Launcher
from shuffle_operator.server.http import CoordinatorServer
from shuffle_worker.runtime.settings import WorkerConfig

PATIENCE = 60.0
"""Seconds after which something that must happen counts as never happening."""


class Exit(NamedTuple):
    """What `on_exit` was told."""

    worker: int
    incarnation: str | None
    why: str
    fault: bool
    crashed: bool


class Stage(Protocol):
    """exits: told so far. scratch: the launcher's own folder, None where it has none on this machine."""

    launcher: Launcher
    exits: list[Exit]
    scratch: Path | None

    def living(self) -> dict[int, int]:
        """Slot -> what tells its process from every other, for those that run."""
        ...

    def kill(self, worker: int) -> None:
        """Take its process away."""
        ...

    def crash(self, worker: int, number: signal.Signals) -> None:
        """Have its process end as by an error of its own."""
        ...


class LocalStage:
    def __init__(self, coordinator: str, scratch: Path, warm: WarmStart | None = None) -> None:
        self.exits: list[Exit] = []
        self.scratch: Path | None = scratch
        template = WorkerConfig(
            coordinator=coordinator, job="job", token="t", worker=0, incarnation="", memory=256 << 20, scratch=""
        )
        self.local = LocalLauncher(template, scratch, lambda *told: self.exits.append(Exit(*told)), warm=warm)
        self.launcher: Launcher = self.local

    def living(self) -> dict[int, int]:
        return self.local.pids()

    def kill(self, worker: int) -> None:
        os.kill(self.living()[worker], signal.SIGKILL)

    def crash(self, worker: int, number: signal.Signals) -> None:
        os.kill(self.living()[worker], number)


@asynccontextmanager
async def local(coordinator: str, folder: Path) -> AsyncIterator[Stage]:
    stage = LocalStage(coordinator, folder / "scratch")
    try:
        yield stage
    finally:
        await stage.launcher.close()


@asynccontextmanager
async def forked(coordinator: str, folder: Path) -> AsyncIterator[Stage]:
    """Local workers that are forked from a warm process."""
    warm = WarmStart()
    stage = LocalStage(coordinator, folder / "scratch", warm)
    try:
        yield stage
    finally:
        await stage.launcher.close()
        assert not psutil.pid_exists(warm.pid)


Open = Callable[[str, Path], AbstractAsyncContextManager[Stage]]
STAGES: dict[str, Open] = {"local": local, "forked": forked}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Open:
    return STAGES[request.param]


@pytest.fixture
def nobody() -> str:
    """An address where no coordinator is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def until(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def test_each_slot_has_one_process(stage: Open, nobody: str, tmp_path: Path) -> None:
    async with stage(nobody, tmp_path) as s:
        for worker in (0, 1):
            s.launcher.start(worker, 0)
            s.launcher.start(worker, 0)
        await until(lambda: s.living().keys() == {0, 1}, "two processes")
        before = s.living()
        s.launcher.start(1, 1)
        await asyncio.sleep(0)
        assert s.living() == before
        assert len(set(before.values())) == 2
        assert s.exits == []


async def test_a_process_that_is_taken_away_is_told_once(stage: Open, nobody: str, tmp_path: Path) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(0, 0)
        s.launcher.start(1, 0)
        await until(lambda: s.living().keys() == {0, 1}, "two processes")
        s.kill(1)
        await until(lambda: s.exits, "its end")
        (first,) = s.exits
        assert (first.worker, first.fault, first.crashed) == (1, False, False)
        assert first.why
        assert s.living().keys() == {0}
        s.launcher.start(1, 1)
        await until(lambda: s.living().keys() == {0, 1}, "a successor")
        s.kill(1)
        await until(lambda: len(s.exits) == 2, "its end")
        assert s.exits[1].incarnation != first.incarnation


async def test_a_process_that_fails_is_told_as_a_fault(stage: Open, tmp_path: Path) -> None:
    """The coordinator does not know these workers, and says so; they end with an exit code."""
    server = CoordinatorServer()
    address = await server.start("127.0.0.1")
    try:
        async with stage(address, tmp_path) as s:
            s.launcher.start(3, 0)
            await until(lambda: s.exits, "its end")
            (told,) = s.exits
            assert (told.worker, told.fault, told.crashed) == (3, True, False)
            assert "unknown job or wrong token" in told.why
            assert s.living() == {}
    finally:
        await server.stop()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])
async def test_a_process_that_crashes_is_told_as_a_crash(
    stage: Open, nobody: str, tmp_path: Path, number: signal.Signals
) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(2, 0)
        await until(lambda: 2 in s.living(), "the process")
        s.crash(2, number)
        await until(lambda: s.exits, "its end")
        (told,) = s.exits
        assert (told.worker, told.fault, told.crashed) == (2, True, True)
        assert number.name in told.why


@pytest.mark.parametrize("now", [True, False])
async def test_a_process_that_is_stopped_ends(stage: Open, nobody: str, tmp_path: Path, now: bool) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(0, 0)
        await until(lambda: 0 in s.living(), "the process")
        s.launcher.stop(0, now=now)
        await until(lambda: s.exits, "its end")
        assert [told.worker for told in s.exits] == [0]
        assert s.living() == {}


async def test_a_process_may_be_stopped_before_it_is_there(stage: Open, nobody: str, tmp_path: Path) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(0, 0)
        s.launcher.stop(0, now=True)
        await until(lambda: s.exits, "its end")
        assert s.living() == {}


async def test_a_slot_that_was_cleared_is_free_at_once(stage: Open, nobody: str, tmp_path: Path) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(0, 0)
        await until(lambda: 0 in s.living(), "the process")
        before = s.living()[0]
        s.launcher.stop(0, now=True)
        s.launcher.start(0, 1)
        await until(lambda: s.living().get(0, before) != before and s.exits, "the change")
        assert [told.worker for told in s.exits] == [0]
        s.kill(0)
        await until(lambda: len(s.exits) == 2, "the end of the second")
        assert s.exits[0].incarnation != s.exits[1].incarnation


async def test_stopping_where_there_is_nothing(stage: Open, nobody: str, tmp_path: Path) -> None:
    async with stage(nobody, tmp_path) as s:
        s.launcher.stop(7, now=True)
        s.launcher.stop(7, now=False)
        assert s.exits == []


async def test_nothing_is_left_after_the_close(stage: Open, nobody: str, tmp_path: Path) -> None:
    """Whatever was going on: one that runs, one that is being stopped, one that is only just being started."""
    async with stage(nobody, tmp_path) as s:
        s.launcher.start(0, 0)
        s.launcher.start(1, 0)
        await until(lambda: s.living().keys() == {0, 1}, "two processes")
        pids = list(s.living().values())
        s.launcher.stop(1, now=False)
        s.launcher.start(2, 0)
        await s.launcher.close()
        assert s.living() == {}
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert s.scratch is None or not s.scratch.exists()
        told = len(s.exits)
        s.launcher.start(0, 1)
        await s.launcher.close()
        assert s.living() == {}
        assert len(s.exits) == told
