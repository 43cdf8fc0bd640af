"""Nothing that goes wrong with a page or a report harms the job that it is about, or the other pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import pytest
from msgspec import structs

from shuffle_local.cli.report_file import ReportFile
from shuffle_operator.handlers.job_pages import JobPages
from shuffle_operator.history.document import JobHistory, JobList
from shuffle_operator.web import assets
from shuffle_operator.web.access import ByLoopback
from shuffle_operator.web.feed import Feed
from shuffle_operator.web.server import IDLE_FEEDS, DashboardServer
from shuffle_protocol.errors import StorageUnavailable
from shuffle_protocol.messages import Done, Lease, LeaseId, LeaseKind
from shuffle_worker.storage.retry import RetryPolicy, Transient, retried, tried_for
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import Unreachable
from shuffle_worker.worker.leases import LeaseWork, Opened
from tests.dashboard.test_server import Shown
from tests.history.plausible import plausible
from tests.plan.jobs import job

T = TypeVar("T")

NONE: Any = None
"""What is not asked for."""


class Defect(Exception):
    """Nobody expects it."""


async def at_once(call: Callable[..., T], *arguments: object) -> T:
    return call(*arguments)


@pytest.mark.parametrize("error", [StorageUnavailable("away"), OSError("full"), Unreachable("gone"), Defect(), None])
@pytest.mark.parametrize("where", ["the coordinator", "the store"])
async def test_a_commit_stands_without_its_report(
    tmp_path: Path, error: Exception | None, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shuffle_worker.worker.leases.ASKED_AGAIN", (0.0, 0.0))
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(name)
        if error is not None and name == where:
            raise error

    async def report() -> bytes:
        step("the coordinator")
        return b"<html>"

    leases = committing(tmp_path, at_once, report, lambda _data: step("the store"))
    found = await commit(leases)
    assert found.rows_written == 7
    assert where in steps
    assert ("noReport" in (found.output or {})) == (error is not None)


def committing(
    folder: Path, compute: Run, report: Callable[[], Awaitable[bytes]], put: Callable[[bytes], None]
) -> LeaseWork:
    """A worker that is about to commit, and to write the report."""
    result = SimpleNamespace(manifest="m", files=1, rows=7, bytes=8, largest=8, median=8, mean=8, ratio=1.0)
    work: Any = SimpleNamespace(commit=lambda _rows: result, report=put)
    leases = LeaseWork(NONE, compute, compute, report)
    spec = job(folder)
    leases.learn(structs.replace(spec, output=structs.replace(spec.output, report=True)))
    leases.open(Opened(NONE, work, NONE, NONE))
    return leases


async def commit(leases: LeaseWork) -> Done:
    return await leases.carry_out(Lease(LeaseId(LeaseKind.COMMIT, 0, 0, 0), rows=7), NONE, lambda: None)


async def fetched() -> bytes:
    return b"<html>"


async def never() -> bytes:
    await asyncio.Event().wait()
    return b""


async def test_a_job_does_not_wait_for_a_coordinator_that_has_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shuffle_worker.worker.leases.REPORT_SECONDS", 0.05)
    put: list[bytes] = []
    found = await commit(committing(tmp_path, at_once, never, put.append))
    assert "not within 0.05 s" in str((found.output or {})["noReport"])
    assert not put


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_store_that_hangs_holds_the_lease_only_where_it_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revoked: bool
) -> None:
    """What is undone next must not be written to any more."""
    monkeypatch.setattr("shuffle_worker.worker.leases.REPORT_SECONDS", 60.0 if revoked else 0.05)
    begun, done = threading.Event(), threading.Event()

    def put(_data: bytes) -> None:
        begun.set()
        done.wait(20)

    committed = asyncio.create_task(commit(committing(tmp_path, asyncio.to_thread, fetched, put)))
    await asyncio.to_thread(begun.wait, 20)
    if revoked:
        committed.cancel()
        await asyncio.wait([committed], timeout=0.1)
        assert not committed.done()
        done.set()
        with pytest.raises(asyncio.CancelledError):
            await committed
        return
    found = await committed
    done.set()
    assert "not within 0.05 s" in str((found.output or {})["noReport"])


def test_what_the_job_can_do_without_is_not_waited_for_as_long_as_its_store() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def call() -> None:
        raise Transient(StorageUnavailable("away"))

    def seconds_of_trouble() -> float:
        since = now
        patient = RetryPolicy(tries=1 << 20, seconds=900.0, answered=True)
        with pytest.raises(StorageUnavailable, match="away"):
            retried(call, lambda: patient, sleep, lambda: now)
        return now - since

    with tried_for(15.0):
        assert 5.0 < seconds_of_trouble() <= 15.0
    assert 800.0 < seconds_of_trouble() <= 900.0


async def test_a_report_whose_call_is_lost_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.worker.leases.ASKED_AGAIN", (0.0, 0.0))
    calls = 0

    async def report() -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unreachable("gone")
        return b"<html>"

    assert await LeaseWork(NONE, at_once, at_once, report)._fetched() == b"<html>"


def test_a_job_whose_history_cannot_be_kept_is_let_go() -> None:
    def told() -> JobHistory:
        raise Defect

    active: Any = SimpleNamespace(state=SimpleNamespace(over=True), told=told, namespace="a", name="b")
    pages = JobPages(NONE, NONE)
    pages.ended(active)
    assert not pages.archive.lines()


def test_a_run_whose_report_cannot_be_made_is_warned_of(tmp_path: Path) -> None:
    said: list[str] = []

    def history() -> JobHistory:
        raise Defect("odd")

    ReportFile(tmp_path / "a.html").write(history, said.append)
    ReportFile(tmp_path / "none" / "a.html").write(plausible, said.append)
    assert "because of a defect: Defect: odd" in said[0]
    assert "No such file" in said[1]
    assert not list(tmp_path.iterdir())


async def test_a_page_goes_on_when_its_job_can_be_shown_again() -> None:
    broken = True

    def history() -> JobHistory:
        if broken:
            raise Defect
        return plausible()

    feed = Feed(history, period=0.01)
    updates = feed.listen("", heartbeat=0.05)
    assert await anext(updates) is None
    broken = False
    async with asyncio.timeout(10):
        assert any([update is not None async for update in updates])
    assert not feed.listeners
    assert feed.over


async def test_only_so_many_documents_are_kept_for_nobody() -> None:
    server = DashboardServer(Shown(), ByLoopback())
    for number in range(3 * IDLE_FEEDS):
        server._feed(str(number)).listeners = number % 3 == 0
    watched = [feed for feed in server._feeds.values() if feed.listeners]
    assert len(watched) == IDLE_FEEDS
    assert len(server._feeds) - len(watched) <= IDLE_FEEDS + 1


async def test_a_list_is_made_once_for_all_who_ask() -> None:
    class Counting(Shown):
        lists = 0

        def jobs(self) -> JobList:
            self.lists += 1
            return super().jobs()

    shown = Counting()
    server = DashboardServer(shown, ByLoopback(), period=60.0)
    address = await server.start("127.0.0.1")
    async with aiohttp.ClientSession() as session:
        found = [await (await session.get(f"{address}/api/jobs")).json() for _ in range(5)]
    await server.stop()
    assert shown.lists == 1
    assert found[0] == found[4]


def test_names_of_files_that_are_not_there_are_not_kept() -> None:
    assert all(assets.asset(f"no-{number}.js") is None for number in range(9))
    assert assets.asset("page.js") is assets.asset("page.js") is not None
    assert not hasattr(assets.asset, "cache_info")
