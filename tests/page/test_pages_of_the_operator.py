"""The pages as the operator serves them, behind its token, in a real Chromium: the list, a job of 500 workers, and its
report, saved and opened again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from shuffle_operator.history.document import JobHistory, JobLine, JobList
from shuffle_operator.web.access import ByToken
from shuffle_operator.web.server import DashboardServer
from tests.history.plausible import largest, plausible
from tests.page.conftest import OpenPage
from tests.page.test_live_in_browser import stands

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = {"username": "anybody", "password": "the token"}


@dataclass
class MadeUp:
    """Implements `server.Jobs`."""

    found: dict[str, JobHistory] = field(default_factory=dict)

    def add(self, uid: str, history: JobHistory) -> None:
        self.found[uid] = replace(history, job=replace(history.job, uid=uid, name=f"job-{uid}"))

    def jobs(self) -> JobList:
        return JobList([self._line(one) for one in self.found.values()], 0)

    def history(self, uid: str) -> JobHistory | None:
        return self.found.get(uid)

    @staticmethod
    def _line(one: JobHistory) -> JobLine:
        job, progress = one.job, one.progress
        return JobLine(
            name=job.name,
            uid=job.uid,
            namespace=job.namespace,
            phase=progress.phase,
            percent=progress.percent,
            message=progress.message,
            seconds=progress.seconds,
            started=job.started,
            workers=job.workers,
            rows_read=one.rows.read.rows,
            bytes_written=one.rows.written.bytes,
            over=progress.over,
        )


@pytest.fixture
def jobs() -> MadeUp:
    jobs = MadeUp()
    jobs.add("small", plausible(workers=2, columns=12))
    jobs.add("large", largest())
    return jobs


@pytest_asyncio.fixture(loop_scope="session")
async def address(jobs: MadeUp) -> AsyncIterator[str]:
    server = DashboardServer(jobs, ByToken.of(TOKEN["password"]), period=0.1)
    yield await server.start("127.0.0.1")
    await server.stop()


async def test_nobody_sees_anything_without_the_token(address: str, open_page: OpenPage) -> None:
    page = await open_page(complains=True)
    for path in ("/", "/jobs/small", "/static/page.js", "/api/jobs", "/api/jobs/small/events"):
        answer = await page.request.get(f"{address}{path}")
        assert (answer.status, "job-" in await answer.text()) == (401, False)
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_from_the_list_to_a_report(address: str, jobs: MadeUp, open_page: OpenPage, tmp_path: Path) -> None:
    page = await open_page(address, http_credentials=TOKEN)
    await page.get_by_role("link", name="job-large").click()
    await stands(page, "live")
    await page.locator("h1", has_text="job-large").wait_for()
    lanes = page.get_by_role("group", name="Timeline of 500 workers")
    await lanes.wait_for()
    changed = replace(jobs.found["large"].progress, message="Writing: a bit more", percent=71.5)
    jobs.found["large"] = replace(jobs.found["large"], progress=changed)
    await page.locator("#now .sentence", has_text="Writing: a bit more").wait_for()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Save report").click()
    file = tmp_path / "saved.html"
    await (await download.value).save_as(file)
    report = await open_page(file.as_uri())
    await report.locator("h1", has_text="job-large").wait_for()
    assert await report.locator("#now .sentence").inner_text() == "Writing: a bit more"
    assert await report.locator(".link").inner_text() == "Report"


async def test_a_job_ends_while_it_is_watched(address: str, jobs: MadeUp, open_page: OpenPage) -> None:
    jobs.add("large", plausible(workers=3, columns=12, ending="running"))
    page = await open_page(f"{address}/jobs/large", http_credentials=TOKEN)
    await page.locator(".phase", has_text="● Writing").wait_for()
    jobs.add("large", plausible(workers=3, columns=12))
    await page.locator(".phase", has_text="✓ Complete").wait_for()
    await stands(page, "over")
