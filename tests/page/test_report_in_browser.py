"""A report, opened as a file in a real Chromium: a job that is complete, one that failed, one that lost a worker, one
of 500 workers, one with hostile names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.figures import HotKey
from tests.history.plausible import largest, plausible
from tests.page.conftest import PHONE, OpenPage, ShowReport

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECTIONS = [
    "What bounds this job",
    "Throughput",
    "Timeline",
    "Plan",
    "Ledger",
    "Skew",
    "Memory and spill",
    "Transfers",
    "Losses",
    "Output",
]

WIDEST = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
"""The page itself never scrolls sideways, only boxes in it."""


async def test_a_finished_job(show_report: ShowReport) -> None:
    page = await show_report(plausible(workers=3, partitions=16, columns=24))
    assert await page.title() == "Complete · orders-by-customer"
    assert await page.locator("main section h2").all_inner_texts() == ["Progress", *SECTIONS]
    assert await page.locator("#verdict .sentence").inner_text() == (
        "Reading bounds this job: workers spent 46 % of their time fetching and decoding the input."
    )
    assert await page.locator("#verdict code").inner_text() == "spec:\n  workers: {replicas: 6}"
    assert await page.locator("#verdict dd").all_inner_texts() == ["46 %", "39.1 MiB/s"]
    assert await page.locator("#ledger .place p").all_inner_texts() == ["1,920,000 rows"] * 4
    assert await page.locator("#ledger .sign").evaluate_all("all => all.map(one => one.dataset.holds)") == ["true"] * 3
    assert await page.locator("#plan .what b").all_inner_texts() == ["Write", "Shuffle", "Read"]
    assert await page.locator("#losses .none").inner_text() == "No worker was lost."
    assert "16 files, 1,920,000 rows" in await page.locator("#output").inner_text()


async def test_plots_are_drawn(show_report: ShowReport) -> None:
    """Every canvas has pixels of its own once it is in view."""
    page = await show_report(plausible(workers=3, partitions=16, columns=24, lost=1))
    drawn = """canvas => { const { width, height } = canvas;
        return canvas.getContext("2d").getImageData(0, 0, width, height).data.some((value) => value > 0); }"""
    canvases = page.locator("main canvas")
    assert await canvases.count() == 6
    for n in range(6):
        await canvases.nth(n).scroll_into_view_if_needed()
        handle = await canvases.nth(n).element_handle()
        await page.wait_for_function(drawn, arg=handle)


async def test_a_job_that_failed(show_report: ShowReport) -> None:
    page = await show_report(plausible(ending="failed", done=0.4))
    assert await page.get_by_role("alert").inner_text() == (
        "OutOfDisk: no space is left on scratch: worker 1 has 40.0 GiB, and all of it is taken"
    )
    assert await page.locator(".top .phase").inner_text() == "✕ Failed"
    assert await page.locator("#skew .none").first.inner_text() == "No file was written."


async def test_a_job_that_lost_a_worker(show_report: ShowReport) -> None:
    """The timeline is read out by keys, lane by lane and column by column."""
    history = plausible(workers=2, partitions=16, columns=24, lost=1)
    page = await show_report(history)
    [row] = await page.locator("#losses .table").first.locator("tbody tr").all_inner_texts()
    assert "it was killed (signal 9)" in row
    moment = history.losses.lost[0].at
    lanes = page.get_by_role("group", name="Timeline of 2 workers")
    await lanes.focus()
    for _ in range(1 + int(moment / history.timeline.width)):
        await page.keyboard.press("ArrowRight")
    said = await page.locator("#timeline .about").inner_text()
    assert said.startswith("worker 0, ") and "worker 0 was lost: it was killed (signal 9)" in said
    await page.keyboard.press("ArrowDown")
    assert (await page.locator("#timeline .about").inner_text()).startswith("worker 1, ")
    await page.keyboard.press("Escape")
    assert await page.locator("#timeline .about").inner_text() == ""


async def test_the_timeline_zooms(show_report: ShowReport) -> None:
    """By keys and buttons, to no less than four columns."""
    page = await show_report(plausible(workers=2, columns=64))
    picture = "canvas => canvas.toDataURL()"
    canvas = page.locator("#timeline canvas")
    await canvas.scroll_into_view_if_needed()
    handle = await canvas.element_handle()
    changed = "([canvas, before]) => canvas.toDataURL() !== before"
    await page.wait_for_function("canvas => canvas.width > 300", arg=handle)
    seen = [await canvas.evaluate(picture)]
    await page.get_by_role("group", name="Timeline of").focus()
    for act in ("+", "Zoom in", "+", "+"):
        await (page.get_by_role("button", name=act, exact=True).click() if len(act) > 1 else page.keyboard.press(act))
        await page.wait_for_function(changed, arg=[handle, seen[-1]])
        seen.append(await canvas.evaluate(picture))
        await page.get_by_role("group", name="Timeline of").focus()
    await page.keyboard.press("0")
    await page.wait_for_function("([canvas, first]) => canvas.toDataURL() === first", arg=[handle, seen[0]])


async def test_one_activity_alone(show_report: ShowReport) -> None:
    page = await show_report(plausible(workers=2, columns=24))
    button = page.locator("#timeline").get_by_role("button", name="Read", exact=True)
    await button.click()
    assert await button.get_attribute("aria-pressed") == "true"
    await page.get_by_role("group", name="Timeline of").focus()
    await page.keyboard.press("Escape")
    assert await button.get_attribute("aria-pressed") == "false"


async def test_tables_stand_behind_the_plots(show_report: ShowReport) -> None:
    page = await show_report(plausible(workers=3, partitions=16, columns=24, lost=1))
    await unfold(page)
    labels = "all => all.map(one => one.getAttribute('aria-label'))"
    names = await page.locator("details.behind .table").evaluate_all(labels)
    assert names == [
        "Throughput over time",
        "What each worker did, in seconds",
        "Leases that took longest",
        "Files by size",
        "The largest files",
        "Memory and spill of each worker",
        "Bytes from workers to workers",
        "What happened, in order",
    ]
    for table in await page.locator("details.behind .table table").all():
        await table.locator("tbody tr").first.wait_for()
    workers = page.get_by_role("region", name="What each worker did").locator("tbody th")
    assert await workers.all_inner_texts() == ["0", "1", "2"]
    await page.get_by_role("region", name="What each worker did").get_by_role("button", name="Worker").click()
    await page.wait_for_function("() => document.querySelector('#timeline .table tbody th').textContent === '2'")


async def test_five_hundred_workers(show_report: ShowReport) -> None:
    """Of tables and lanes only what is in view is in the document, however far they are scrolled."""
    page = await show_report(largest())
    assert await page.evaluate("document.querySelectorAll('*').length") < 2500
    await page.locator("#memory summary").click()
    region = page.get_by_role("region", name="Memory and spill of each worker")
    assert await region.locator("table").get_attribute("aria-rowcount") == "501"
    await region.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    await region.locator("tbody tr[aria-rowindex='501'] th", has_text="499").wait_for()
    assert await region.locator("tbody tr").count() < 60
    lanes = page.get_by_role("group", name="Timeline of 500 workers")
    await lanes.scroll_into_view_if_needed()
    assert await lanes.locator("canvas").evaluate("canvas => canvas.height / devicePixelRatio") < 450
    await lanes.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    await lanes.focus()
    await page.keyboard.press("ArrowUp")
    await page.wait_for_function("() => document.querySelector('.lanes').scrollTop === 0")
    assert await page.evaluate(WIDEST)


LONG = "n" * 5000
MARKUP = (
    "<img src=x onerror=\"document.title='taken'\"></script><script>document.title='taken'</script></style>"
    "<svg onload=\"document.title='taken'\"> javascript:alert(1) ${document.title='taken'}{{7*7}} ]]><!--"
)
HOSTILE = {"markup": MARKUP, "direction": "\u202egnp.exe\u2066\u0000\u001b[31m", "long": LONG}


def hostile(text: str) -> JobHistory:
    """A history that says one thing wherever a text is, but for words of the document itself."""
    made = plausible(workers=2, partitions=16, columns=12, lost=1, ending="failed")
    job = replace(made.job, name=text, uid=text, namespace=text, inputs=[text, text], output=text, version=text)
    step = made.plan
    assert step is not None
    leaf = replace(step, step=text, what=text, why=[text], inputs=[])
    plan = replace(leaf, inputs=[leaf])
    evidence = [replace(one, label=text, unit=text) for one in made.verdict.evidence]
    kinds = {"joined": text}
    rows = replace(made.rows, checks=[replace(check, what=text, text=text) for check in made.rows.checks])
    skew = replace(
        made.skew,
        biggest=[replace(file, name=text) for file in made.skew.biggest],
        hot_keys=[HotKey(text[:200], 1, 1, 0.5, text)],
    )
    return replace(
        made,
        partial=text,
        job=job,
        verdict=replace(made.verdict, sentence=text, why=text, yaml=text, evidence=evidence),
        progress=replace(made.progress, message=text, reason=text, cause=text),
        plan=plan,
        notes=[text],
        marks=replace(
            made.marks, marks=[replace(one, text=text, kind=kinds.get(one.kind, one.kind)) for one in made.marks.marks]
        ),
        rows=rows,
        skew=skew,
        workers=[replace(worker, state=text, waiting=text) for worker in made.workers],
        slowest=[replace(lease, kind=text) for lease in made.slowest],
        losses=replace(made.losses, lost=[replace(one, why=text) for one in made.losses.lost]),
        output=replace(made.output, path=text, manifest=text),
    )


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_texts_are_only_shown(show_report: ShowReport, name: str) -> None:
    text = HOSTILE[name]
    page = await show_report(hostile(text), viewport=PHONE)
    await unfold(page)
    await page.locator("#losses details tbody tr").first.wait_for()
    assert (await page.title()).startswith("Failed · ")
    assert await page.locator("main img, main script, main iframe, main style").count() == 0
    assert await page.evaluate(WIDEST)
    shown = await page.locator("body").inner_text()
    assert "\u202e" not in shown and "\u0000" not in shown and "\u001b" not in shown
    if name == "markup":
        assert (await page.locator("h1").inner_text())[:150] == text[:150]
        assert text in await page.get_by_role("alert").inner_text()


async def test_the_report_can_ask_nobody(show_report: ShowReport) -> None:
    """Its policy allows no address, and no script but its own."""
    page = await show_report(plausible(workers=2, columns=12), complains=True)
    assert await page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.name)") == "TypeError"
    added = """() => { const script = document.createElement("script"); script.textContent = "window.ran = 1";
        document.body.append(script); return window.ran ?? 0; }"""
    assert await page.evaluate(added) == 0


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
async def test_a_report_whose_end_is_missing_says_so(open_page: OpenPage, tmp_path: Path, share: float) -> None:
    from shuffle_operator.web.report import render

    text = render(plausible(workers=2, columns=12))
    file = tmp_path / "cut.html"
    file.write_text(text[: int(len(text) * share)], encoding="utf-8")
    page = await open_page(file.as_uri())
    assert "not whole: its end is missing" in await page.locator("body").inner_text()


async def test_a_report_of_a_newer_version_says_so(show_report: ShowReport) -> None:
    page = await show_report(replace(plausible(workers=2, columns=12), format=99))
    assert "newer version (0.1.0)" in await page.locator(".banner:visible").inner_text()


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
async def test_light_and_dark(show_report: ShowReport, system: str, other: str) -> None:
    page = await show_report(plausible(workers=2, columns=12), color_scheme=system)
    theme = "document.documentElement.dataset.theme"
    paper = "getComputedStyle(document.body).backgroundColor"
    assert await page.evaluate(theme) == system
    first = await page.evaluate(paper)
    button = page.get_by_role("button", name="theme")
    while await page.evaluate(theme) == system:
        await button.click()
    assert await page.evaluate(theme) == other
    assert await page.evaluate(paper) != first


async def test_a_phone(show_report: ShowReport) -> None:
    page = await show_report(plausible(workers=6, columns=60, lost=2, ending="running"), viewport=PHONE)
    assert await page.evaluate(WIDEST)
    await unfold(page)
    assert await page.evaluate(WIDEST)


async def test_the_keyboard_goes_through_the_page(show_report: ShowReport) -> None:
    """The first stop leads to the content, and everything that can be used is a stop."""
    page = await show_report(plausible(workers=2, columns=12))
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    stops: list[str] = []
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    for _ in range(60):
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(focused))
        if "Table of pairs" in stops:
            break
    assert {"Copy", "Read", "Order of the lanes", "Zoom in", "Table of workers", "Table of pairs"} <= set(stops)
    assert any(stop.startswith("Timeline of 2 workers") for stop in stops)


@pytest.mark.parametrize(("asked", "moving"), [("reduce", False), ("no-preference", True)])
async def test_little_motion_where_that_is_asked_for(show_report: ShowReport, asked: str, moving: bool) -> None:
    page = await show_report(plausible(workers=2, columns=12), reduced_motion=asked)
    count = """() => [...document.querySelectorAll("*")]
        .filter((one) => getComputedStyle(one).transitionProperty === "transform").length"""
    assert (await page.evaluate(count) > 0) is moving
    assert (await page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth") is moving


async def unfold(page: Page) -> None:
    """Open every table."""
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


CASES: dict[str, tuple[Callable[[], JobHistory], str]] = {
    "finished": (lambda: plausible(workers=3, columns=24, lost=1), "light"),
    "finished, dark": (lambda: plausible(workers=3, columns=24, lost=1), "dark"),
    "running": (lambda: plausible(workers=1, columns=24, ending="running"), "dark"),
    "failed": (lambda: plausible(workers=3, columns=24, ending="failed", done=0.3), "light"),
}


@pytest.mark.parametrize("name", CASES)
async def test_nothing_stands_in_the_way(show_report: ShowReport, axe: str, name: str) -> None:
    """axe-core finds nothing, with all tables open."""
    history, scheme = CASES[name]
    page = await show_report(history(), color_scheme=scheme)
    await unfold(page)
    await page.locator("#losses details tbody tr").first.wait_for()
    assert await violations(page, axe) == []


async def violations(page: Page, axe: str) -> list[str]:
    await page.evaluate(axe)
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{one['impact']} {one['id']}: {one['nodes'][0]['failureSummary']}" for one in found["violations"]]
