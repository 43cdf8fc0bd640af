"""Nothing that goes wrong with a page or a report harms the job that it is about, or the other pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from shuffle_protocol.messages import Lease, LeaseId, LeaseKind
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

    result = SimpleNamespace(manifest="m", files=1, rows=7, bytes=8, largest=8, median=8, mean=8, ratio=1.0)
    work: Any = SimpleNamespace(commit=lambda _rows: result, report=lambda _data: step("the store"))
    leases = LeaseWork(NONE, at_once, report)
    spec = job(tmp_path)
    leases.learn(structs.replace(spec, output=structs.replace(spec.output, report=True)))
    leases.open(Opened(NONE, work, NONE, NONE))
    found = await leases.carry_out(Lease(LeaseId(LeaseKind.COMMIT, 0, 0, 0), rows=7), NONE, lambda: None)
    assert found.rows_written == 7
    assert where in steps


async def test_a_report_whose_call_is_lost_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.worker.leases.ASKED_AGAIN", (0.0, 0.0))
    calls = 0

    async def report() -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unreachable("gone")
        return b"<html>"

    assert await LeaseWork(NONE, at_once, report)._fetched() == b"<html>"


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
