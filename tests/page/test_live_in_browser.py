"""The live page: a job that runs and ends, and every way in which its figures can stop coming."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.history.plausible import plausible
from tests.page.conftest import OpenPage
from tests.page.stage import Stage
from tests.page.test_report_in_browser import WIDEST

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.start()
    yield stage
    await stage.stop()


async def stands(page: Page, state: str) -> None:
    """Wait until the page says so of its connection."""
    await page.locator(f".link[data-state={state}]").wait_for()


def running(done: float) -> dict[str, object]:
    return {"workers": 2, "columns": 24, "ending": "running", "done": done}


async def test_a_job_that_runs_and_ends(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up")
    await stands(page, "live")
    await page.locator(".phase", has_text="● Writing").wait_for()
    bar = page.get_by_role("progressbar")
    assert await bar.get_attribute("aria-valuenow") == "40"
    assert "between 9.5 s and 16 s" in await page.locator("#now").inner_text()
    stage.send({"set": {"progress/percent": 55.5, "progress/message": "Writing: more of it"}})
    await page.locator("#now .sentence", has_text="Writing: more of it").wait_for()
    assert await bar.get_attribute("aria-valuenow") == "56"
    assert await page.title() == "55 % · orders-by-customer"
    stage.show(plausible(workers=2, columns=24))
    stage.end()
    await stands(page, "over")
    await page.locator(".phase", has_text="✓ Complete").wait_for()
    assert not await page.locator(".banner:visible").count()
    assert "Left" not in await page.locator("#now dt:visible").all_inner_texts()
    assert await page.get_by_role("link", name="Save report").get_attribute("href") == (
        f"{stage.address}/api/jobs/made-up/report.html"
    )


async def test_pieces_are_drawn_when_all_are_there(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up")
    await page.locator(".phase", has_text="Writing").wait_for()
    stage.send({"set": {"progress/message": "half of it"}, "more": True})
    stage.send({"set": {"job/name": "all-of-it"}})
    await page.locator("h1", has_text="all-of-it").wait_for()
    assert await page.locator("#now .sentence").inner_text() == "half of it"


async def test_it_connects_again(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up", complains=True)
    await page.locator(".phase", has_text="Writing").wait_for()
    await stage.stop()
    await stands(page, "lost")
    assert (await page.locator(".banner:visible").inner_text()).startswith(
        "There is no connection; trying again. What you see is"
    )
    stage.history = plausible(workers=2, columns=24, name="after-the-break")
    await stage.start()
    await stands(page, "live")
    await page.locator("h1", has_text="after-the-break").wait_for()
    assert not await page.locator(".banner:visible").count()


async def test_a_connection_that_breaks_off_is_made_again_at_once(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up", complains=True)
    await page.locator(".phase", has_text="Writing").wait_for()
    stage.history = plausible(**running(0.4), name="again")  # type: ignore[arg-type]
    stage.drop()
    await page.locator("h1", has_text="again").wait_for()
    assert stage.opened == 2


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (200, "gone", "The job is gone: it was removed, or the program that ran it has ended. What you see is of"),
        (403, "refused", "You may not see this job; sign in again and load the page anew. What you see is of"),
    ],
)
async def test_a_job_that_is_not_there_any_more(
    stage: Stage, open_page: OpenPage, status: int, state: str, said: str
) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up", complains=True)
    await page.locator(".phase", has_text="Writing").wait_for()
    stage.history, stage.status = None, status
    stage.drop()
    await stands(page, state)
    assert (await page.locator(".banner:visible").inner_text()).startswith(said)


async def test_a_job_that_never_was(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(f"{stage.address}/jobs/no-such-job", complains=True)
    await stands(page, "gone")
    assert (await page.locator(".banner:visible").inner_text()).startswith("There is no such job: it was removed")
    assert await page.locator("main section:visible").count() == 0


async def test_a_connection_over_which_nothing_comes(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page()
    await page.clock.install()
    await page.goto(f"{stage.address}/jobs/made-up")
    await page.clock.run_for(1_000)
    await page.locator(".phase", has_text="Writing").wait_for()
    await page.clock.fast_forward(30_000)
    await stands(page, "stale")
    assert "although the connection stands" in await page.locator(".banner:visible").inner_text()
    stage.send({"set": {"progress/message": "news"}})
    await stands(page, "live")
    assert not await page.locator(".banner:visible").count()


async def test_a_job_that_fails_while_it_is_watched(stage: Stage, open_page: OpenPage) -> None:
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(f"{stage.address}/jobs/made-up")
    await page.locator(".phase", has_text="Writing").wait_for()
    stage.show(plausible(workers=2, columns=24, ending="failed", done=0.5))
    alert = page.get_by_role("alert")
    await alert.wait_for()
    assert (await alert.inner_text()).startswith("OutOfDisk: no space is left on scratch")


def line(name: str, **other: object) -> dict[str, object]:
    base = {"name": name, "uid": "made-up", "namespace": "analytics", "phase": "Writing", "percent": 42.0}
    counts = {"message": "Writing: half of it", "seconds": 75.0, "started": 1_780_000_000.0, "workers": 4}
    return {**base, **counts, "rows_read": 1_000_000, "bytes_written": 1 << 30, "over": False, **other}


async def test_the_list_of_jobs_leads_to_each(stage: Stage, open_page: OpenPage, axe: str) -> None:
    stage.jobs = [line("first"), line("<b>second</b>", uid="other", phase="Failed", over=True, message="\u202e<img>")]
    stage.history = plausible(**running(0.4))  # type: ignore[arg-type]
    page = await open_page(stage.address, viewport={"width": 800, "height": 700})
    rows = page.locator("tbody tr")
    await rows.nth(1).wait_for()
    assert await page.locator("tbody th a").all_inner_texts() == ["first", "<b>second</b>"]
    assert (await rows.nth(0).locator("td").all_inner_texts())[:3] == ["analytics", "● Writing", "42 %"]
    assert await page.locator("tbody b, tbody img").count() == 0
    assert await page.evaluate(WIDEST)
    await page.evaluate(axe)
    assert await page.evaluate("axe.run().then((found) => found.violations.map((one) => one.id))") == []
    await page.get_by_role("link", name="first").click()
    await page.locator("h1", has_text="orders-by-customer").wait_for()
    await page.get_by_role("link", name="← Jobs").click()
    await rows.nth(1).wait_for()


async def test_the_list_of_jobs_follows(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(stage.address, complains=True)
    await page.locator(".none", has_text="There are no jobs.").wait_for()
    stage.jobs = [line("first")]
    await page.get_by_role("link", name="first").wait_for()
    await stage.stop()
    await page.locator(".banner:visible", has_text="Nobody answers; trying again.").wait_for()
    assert await page.get_by_role("link", name="first").is_visible()
    await stage.start()
    await stands(page, "live")


async def test_the_served_page_runs_no_script_but_its_own(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(stage.address, complains=True)
    added = """() => { const script = document.createElement("script"); script.textContent = "window.ran = 1";
        document.body.append(script); return window.ran ?? 0; }"""
    assert await page.evaluate(added) == 0
    assert await page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.name)") == "TypeError"
    assert (
        await page.evaluate(
            "document.body.setAttribute('onclick', 'window.ran = 1') ?? document.body.click() ?? window.ran ?? 0"
        )
        == 0
    )
