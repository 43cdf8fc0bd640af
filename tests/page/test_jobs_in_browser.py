"""Real jobs, watched in a real Chromium: one that runs, one that loses a worker, one that fails, and the reports that
they leave."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shuffle_local.dashboard import LocalDashboard
from shuffle_protocol.messages import Phase
from tests.jobs.benches import bench
from tests.jobs.harness import PATIENCE, Bench, Watched, run_watched
from tests.page.conftest import OpenPage
from tests.page.test_live_in_browser import stands

if TYPE_CHECKING:
    from playwright.async_api import Page

__all__ = ["bench"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELD = """
    import pathlib, time

    def held(rows):
        while not pathlib.Path({go!r}).exists():
            time.sleep(0.01)
        return rows.slice(0, 1)

    def broken(rows):
        held(rows)
        raise ValueError("<b>no</b> such user")
"""
"""Functions of a job that wait until a file is there, so that a job runs for as long as a test looks at it."""


def job_of(bench: Bench, function: str) -> Path:
    source = bench.root / "in"
    source.mkdir()
    random = np.random.default_rng(3)
    for number in range(3):
        rows = pa.table({"user": random.integers(0, 40, 900), "ts": random.permutation(900)})
        pq.write_table(rows, source / f"{number}.parquet")
    (bench.root / "calls.py").write_text(textwrap.dedent(HELD.format(go=str(bench.root / "go"))))
    schema = [{"name": "user", "type": "int64"}, {"name": "ts", "type": "int64"}]  # else it is called by the plan
    group = {"by": ["user"], "apply": f"calls:{function}", "schema": schema}
    return bench.job({"groupBy": group}, source, {"partitions": 4})


def go_on(bench: Bench) -> None:
    (bench.root / "go").touch()


async def test_a_job_that_runs(bench: Bench, open_page: OpenPage) -> None:
    """The program says where its page is; the page follows the job to its end, stays when the program has ended, and
    shows what the report shows."""
    report = bench.root / "report.html"
    job = job_of(bench, "held")
    program = bench.start([*bench.command(job, memory="400Mi"), "--dashboard", "--report", str(report)])
    try:
        address = await asyncio.to_thread(address_of, program)
        page = await open_page(address)
        await page.locator(".phase", has_text="● Writing").wait_for()
        await stands(page, "live")
        assert await page.locator("#now dd").nth(4).inner_text()
        assert await page.locator("#ledger .place p").nth(0).inner_text() == "2,700 rows"
        await page.get_by_role("link", name="← Jobs").click()
        await page.get_by_role("link", name="test").click()
        await page.locator(".phase", has_text="● Writing").wait_for()
        go_on(bench)
        await page.locator(".phase", has_text="✓ Complete").wait_for()
        await stands(page, "over")
        assert await asyncio.to_thread(program.wait, PATIENCE) == 0
    finally:
        go_on(bench)
        await asyncio.to_thread(program.communicate, timeout=PATIENCE)
    shown = await figures(page)
    assert await figures(await open_page(report.as_uri())) == shown


def address_of(program: object) -> str:
    lines = []
    for line in program.stderr:  # type: ignore[attr-defined]
        lines.append(line)
        if found := re.search(r"Dashboard: (http://127\.0\.0\.1:\d+/jobs/\w+)", line):
            return found.group(1)
    raise AssertionError("".join(lines))


async def figures(page: Page) -> dict[str, list[str]]:
    """What a page says of a job that is over."""
    parts = ("#verdict .sentence", "#ledger .place", "#ledger .sign", "#skew .figures dd", "#plan .node", "#output dd")
    return {part: await page.locator(part).all_inner_texts() for part in parts}


async def watch(
    bench: Bench, function: str, act: Callable[[Watched, Page], Awaitable[None]], open_page: OpenPage
) -> Page:
    """Run a job with its page open; `act` while it is writing. Returns the page, at the end of the job."""
    pages: list[Page] = []

    async def meddle(run: Watched) -> None:
        dashboard = await LocalDashboard.open(run.local, 0)
        try:
            page = await open_page(dashboard.address)
            pages.append(page)
            await run.until_phase(Phase.WRITING)
            await page.locator(".phase", has_text="● Writing").wait_for()
            await act(run, page)
            await stands(page, "over")
        finally:
            go_on(bench)
            await dashboard.close()

    await run_watched(bench, bench.loaded(job_of(bench, function), memory=400 << 20), meddle)
    return pages[0]


async def test_a_job_that_loses_a_worker(bench: Bench, open_page: OpenPage) -> None:
    async def act(run: Watched, page: Page) -> None:
        run.kill(1)
        await page.locator("#losses tbody tr").first.wait_for()
        assert "1 lost" in await page.locator("#now").inner_text()
        go_on(bench)

    page = await watch(bench, "held", act, open_page)
    await page.locator(".phase", has_text="✓ Complete").wait_for()
    assert "its process was ended by SIGKILL" in await page.locator("#losses tbody tr").first.inner_text()
    await page.locator("#losses summary").click()
    assert "lost" in await page.get_by_role("region", name="What happened").inner_text()


async def test_a_job_that_fails(bench: Bench, open_page: OpenPage) -> None:
    async def act(run: Watched, page: Page) -> None:
        go_on(bench)

    page = await watch(bench, "broken", act, open_page)
    await page.locator(".phase", has_text="✕ Failed").wait_for()
    said = await page.get_by_role("alert").inner_text()
    assert said.startswith("UserFunctionFailed: ") and "<b>no</b> such user" in said
    assert await page.locator("main b", has_text="no").count() == 0
