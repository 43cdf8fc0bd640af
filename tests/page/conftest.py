"""A real Chromium, one for all tests of a process, and pages in it that may not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import pytest_asyncio

from shuffle_operator.history.document import JobHistory
from shuffle_operator.web.report import render
from tests.project import PROJECT

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

AXE = PROJECT / ".page" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 30_000
"""Milliseconds that a condition may take to hold, on a machine that is busy with other tests."""

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

OpenPage = Callable[..., Awaitable["Page"]]
ShowReport = Callable[..., Awaitable["Page"]]


def absent(what: str) -> NoReturn:
    """Skip, but not where these tests must run (.ci/run)."""
    if os.environ.get("PAGE_TESTS") == "required":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None) or absent(
        "there is no Chromium (Debian: apt-get install chromium)"
    )


@pytest.fixture
def axe() -> str:
    """The text of axe-core."""
    if not AXE.is_file():
        absent("there is no axe-core (make test-page installs it, with npm)")
    return AXE.read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = chromium()
    from playwright.async_api import async_playwright

    # Without a sandbox, which root and most containers cannot have. What is opened is this project's own.
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens an address in a context of its own. At the end no page may have met an error, a refusal by its policy or an
    address of another host; `complains=True`: it may."""
    contexts, heard = [], []

    async def open_page(
        address: str = "about:blank", *, viewport: dict[str, int] = WIDE, complains: bool = False, **options: Any
    ) -> Page:
        context = await browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        if not complains:
            page.on("pageerror", lambda error: heard.append(f"error: {error}"))
            page.on("console", lambda said: heard.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: heard.append(f"asks {asked.url}") if _foreign(asked.url) else None)
        await page.goto(address)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert heard == []


def _foreign(url: str) -> bool:
    return not url.startswith(("file:", "data:", "about:", "http://127.0.0.1:", "blob:"))


@pytest.fixture
def show_report(open_page: OpenPage, tmp_path: Path) -> ShowReport:
    """Opens the report of a history, as a file."""

    async def show_report(history: JobHistory, **options: Any) -> Page:
        file = tmp_path / "report.html"
        file.write_text(render(history), encoding="utf-8")
        return await open_page(file.as_uri(), **options)

    return show_report
