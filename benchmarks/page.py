"""What the page of a job weighs and takes in a browser: `python -m benchmarks.page` (needs Chromium).

A job of 500 workers and 40,000 partitions, with every list as long as it gets. Scrolling is measured while nothing
else happens, and while all that can change comes every second. Processor time is that of the whole renderer; a frame at
60 a second has 16.7 ms.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.async_api import CDPSession, Page, async_playwright
from tests.history.plausible import largest, plausible
from tests.page.stage import Stage, whole

from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.updates import LiveDocument
from shuffle_operator.web import assets
from shuffle_operator.web.report import render

FRAMES = 240
SCROLL = """async ([selector, frames]) => {
    const box = selector ? document.querySelector(selector) : document.scrollingElement;
    const most = box.scrollHeight - box.clientHeight;
    const times = [];
    let last = performance.now();
    for (let n = 0; n <= frames; n += 1) {
        box.scrollTop = (most * n) / frames;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    times.sort((a, b) => a - b);
    return { median: times[frames >> 1], p95: times[Math.floor(frames * 0.95)] };
}"""


async def main() -> None:
    weigh()
    program = shutil.which("chromium") or sys.exit("there is no Chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        with tempfile.TemporaryDirectory() as folder:
            await reports(page, Path(folder))
        await live(page)
        await browser.close()


def weigh() -> None:
    parts = {"page": assets.page("job"), **{name: assets.asset(name) for name in ("page.css", "page.js", "uPlot.js")}}
    sizes = {name: (len(part.body), len(part.packed)) for name, part in parts.items() if part is not None}
    sizes["in all"] = (sum(plain for plain, _ in sizes.values()), sum(packed for _, packed in sizes.values()))
    for name, (plain, packed) in sizes.items():
        say(name, f"{plain / 1000:8.1f} kB{packed / 1000:8.1f} kB compressed")
    for name, history in (("report, 4 workers", plausible()), ("report, 500 workers", largest())):
        say(name, f"{len(render(history).encode()) / 1000:8.1f} kB")
    live = LiveDocument()
    live.show(largest(columns=239))
    tell_sizes("first state, 500 workers", live, "")
    seen = live.newest
    live.show(largest(columns=240))  # everything is another, which no job does in a second
    tell_sizes("a state in which all is new", live, seen)
    seen = live.newest
    live.show(moved(1))
    tell_sizes("a second later", live, seen)


def tell_sizes(name: str, live: LiveDocument, seen: str) -> None:
    sizes = [len(update.data) for update in live.since(seen)]
    say(name, f"{sum(sizes) / 1000:8.1f} kB in {len(sizes)} updates, the largest {max(sizes) / 1000:.1f} kB")


async def reports(page: Page, folder: Path) -> None:
    for name, history in (("4 workers", plausible()), ("500 workers", largest())):
        file = folder / "report.html"
        file.write_text(render(history), encoding="utf-8")
        await page.goto(file.as_uri())
        say(f"first paint of a report, {name}", f"{await first_paint(page):8.0f} ms")
    await page.locator("#memory summary").click()
    await page.locator("#memory .table tbody tr:not(.space)").first.wait_for()
    await scrolls(page, "")


async def scrolls(page: Page, meanwhile: str) -> None:
    browser = page.context.browser
    assert browser is not None
    cdp = await browser.new_browser_cdp_session()
    for name, selector in (("page", None), ("timeline", ".lanes"), ("table of workers", "#memory .table")):
        await page.evaluate("(one) => document.querySelector(one ?? 'body').scrollIntoView()", selector)
        before = await thread_seconds(cdp)
        found = await page.evaluate(SCROLL, [selector, FRAMES])
        each = (await thread_seconds(cdp) - before) / FRAMES * 1000
        frames = f"{found['median']:.1f} ms (median), {found['p95']:.1f} ms (95 %)"
        say(f"scrolling the {name}{meanwhile}", f"{each:8.1f} ms of processor time a frame; frames took {frames}")


async def thread_seconds(cdp: CDPSession) -> float:
    """Processor time of the processes that draw pages, in all of their threads."""
    found = await cdp.send("SystemInfo.getProcessInfo")
    return sum(float(one["cpuTime"]) for one in found["processInfo"] if one["type"] == "renderer")


async def live(page: Page) -> None:
    """The same while an update of everything that moves comes every second."""
    stage = Stage()
    await stage.start()
    stage.history = largest()
    try:
        await page.goto(f"{stage.address}/jobs/made-up")
        say("first paint of the live page", f"{await first_paint(page):8.0f} ms")
        await page.locator("#memory summary").click()
        await page.locator("#memory .table tbody tr:not(.space)").first.wait_for()
        sending = asyncio.create_task(every_second(lambda n: tell(stage, n)))
        try:
            await scrolls(page, ", live")
        finally:
            sending.cancel()
    finally:
        await stage.stop()


async def every_second(act: Callable[[int], Awaitable[None]]) -> None:
    for n in range(600):
        await act(n)
        await asyncio.sleep(1)


HISTORY = largest()


def moved(n: int) -> JobHistory:
    """The same job a bit later: a column of time and every worker's figures are other ones."""
    timeline = HISTORY.timeline
    columns = [*timeline.columns[:-1], timeline.columns[n % 239]]
    workers = [replace(one, rows_read=one.rows_read + n, cpu=one.cpu + n) for one in HISTORY.workers]
    progress = replace(HISTORY.progress, seconds=60.0 + n, message=f"Writing, {n}")
    return replace(HISTORY, progress=progress, timeline=replace(timeline, columns=columns), workers=workers)


async def tell(stage: Stage, n: int) -> None:
    update: dict[str, Any] = whole(moved(n))["set"]
    parts = ("progress", "workers", "rows", "skew", "matrix", "verdict", "plan", "losses")
    stage.send({"set": {**{name: update[name] for name in parts}, "timeline": update["timeline"]}})


async def first_paint(page: Page) -> float:
    """Milliseconds from the navigation until something was painted."""
    return float(
        await page.evaluate(
            """() => new Promise((done) => new PerformanceObserver((list) => done(list.getEntries()[0].startTime))
            .observe({ type: "paint", buffered: true }))"""
        )
    )


def say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:<38}{text}\n")


if __name__ == "__main__":
    asyncio.run(main())
