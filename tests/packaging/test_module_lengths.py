"""Modules of the product have at most so many lines, but for those that a decision names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "worker", "operator", "local")
MOST_LINES = 400
MOST_EXCEPTIONS = 5
PAGE = ROOT / "docs" / "decisions" / "0007-long-modules.md"


def test_long_modules_are_those_that_the_page_names() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(modules) > 100
    long = {str(path.relative_to(ROOT)) for path in modules if len(path.read_text().splitlines()) > MOST_LINES}
    named = re.findall(r"^\| `([^`]+\.py)` \| \S", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(long)
    assert len(named) <= MOST_EXCEPTIONS
