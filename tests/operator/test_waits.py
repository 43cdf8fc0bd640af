"""The table of what waits, in docs/operator.md: each row is held by a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    page = (ROOT / "docs" / "operator.md").read_text()
    table = page.partition("## What waits, and for how long")[2].partition("## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_row_has_a_bound_something_to_see_and_a_test() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    found = rows()
    assert len(found) >= 20
    for what, bound, seen, test in found:
        assert what
        assert bound
        assert seen
        assert re.search(rf"def {test.strip('`')}\b", tests), test
