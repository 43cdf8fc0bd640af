"""The page's numbers and updates, as the modules do them in a browser, beside what Python says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shuffle_operator.history.updates import LiveDocument
from shuffle_protocol.units import counted, duration, readable
from tests.history.plausible import plausible
from tests.page.conftest import OpenPage
from tests.page.scripts import call_all

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZES = [0, 1, 512, 1023, 1024, 1536, 10_000_000, 2**30 - 1, 2**30, 5 * 2**40, 3 * 2**50]
SECONDS = [1e-6, 4e-5, 9.9e-4, 0.001, 0.0012, 0.5, 0.9996, 1, 1.26, 9.9, 10, 45, 89.4, 90, 300, 5399, 5400, 90_000]
COUNTS = [0, 1, 2, 999, 1000, 1_234_567]


async def test_units_are_those_of_the_command_line(open_page: OpenPage) -> None:
    page = await open_page()
    calls: list[tuple[Any, ...]] = [
        *(("bytes", size) for size in SIZES),
        *(("duration", seconds) for seconds in SECONDS),
        *(("counted", count, "file") for count in COUNTS),
    ]
    said = await call_all(page, "js/format.js", calls)
    assert said == [*map(readable, SIZES), *map(duration, SECONDS), *(counted(count, "file") for count in COUNTS)]


async def test_what_is_not_known_is_a_dash(open_page: OpenPage) -> None:
    page = await open_page()
    names = ("bytes", "count", "duration", "percent", "rate")
    assert set(await call_all(page, "js/format.js", [(name, value) for name in names for value in (-1, None)])) == {"–"}


async def test_texts_are_cleaned(open_page: OpenPage) -> None:
    page = await open_page()
    given = ["plain, ünïcode 文字 🙂", "a\u202eb", "a\x00b\x1b[0m", "\ufeff\u200b", "two\nlines\t", "x" * 600]
    said = await call_all(page, "js/format.js", [("clean", text) for text in given])
    assert said == [given[0], "a\ufffdb", "a\ufffdb\ufffd[0m", "\ufffd\ufffd", "two\nlines\t", "x" * 499 + "…"]


async def test_updates_change_parts_of_a_document(open_page: OpenPage) -> None:
    """`length` first, then `set`; a new document where `reset` is."""
    page = await open_page()
    whole = msgspec.to_builtins(plausible(workers=2, columns=6))
    columns = whole["timeline"]["columns"]
    pieces = {
        "timeline/width": whole["timeline"]["width"],
        **{f"timeline/columns/{n}": column for n, column in enumerate(columns)},
        **{name: part for name, part in whole.items() if name != "timeline"},
    }
    [made, cut, again, safe] = await call_all(
        page,
        "js/document.js",
        [
            ("apply", {"old": 1}, {"reset": True, "set": pieces}),
            ("apply", {"timeline": {"columns": ["a", "b", "c"]}}, {"length": {"timeline/columns": 1, "not/there": 0}}),
            ("apply", {"a": [1, 2, 3]}, {"length": {"a": 2}, "set": {"a/2": 4, "b/c/0": 5}}),
            ("apply", {}, {"set": {"__proto__/taken": 1, "constructor/prototype/taken": 1}}),
        ],
    )
    assert made == {**whole, "timeline": {"width": whole["timeline"]["width"], "columns": columns}}
    assert cut == {"timeline": {"columns": ["a"]}, "not": {"there": []}}
    assert again == {"a": [1, 2, 4], "b": {"c": [5]}}
    assert safe == {}
    assert await page.evaluate("({}).taken ?? null") is None


async def test_a_live_document_is_the_same_in_the_browser(open_page: OpenPage) -> None:
    """All that a page is sent, applied one after the other, is what was recorded at last."""
    page = await open_page()
    live, seen = LiveDocument(), ""
    document: dict[str, Any] = {}
    states = [
        plausible(workers=2, columns=8, ending="running", done=0.2),
        plausible(workers=3, columns=12, ending="running", done=0.7, lost=2),
        plausible(workers=3, columns=12, lost=1),
    ]
    for history in states:
        live.show(history)
        updates = list(live.since(seen))
        for update in updates:
            [document] = await call_all(page, "js/document.js", [("apply", document, msgspec.json.decode(update.data))])
            seen = update.id
        assert document == msgspec.to_builtins(history)
