"""Functions of the page's modules, called in a browser by themselves."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from shuffle_operator.web.assets import read
from shuffle_operator.web.bundle import bundle

if TYPE_CHECKING:
    from playwright.async_api import Page


async def call_all(page: Page, module: str, calls: list[tuple[Any, ...]]) -> list[Any]:
    """Results of exported functions of a module: (name, argument, ...) of each."""
    text = bundle(module, read)
    exports = re.findall(r"^const (module\d+) = \(\(\) => \{$", text, re.MULTILINE)[-1]
    given = json.dumps([[name, arguments] for name, *arguments in calls])
    return await page.evaluate(
        f"(() => {{ {text}\nreturn {given}.map(([name, given]) => {exports}[name](...given)); }})()"
    )
