"""Writes the tables of functions in docs/expressions.md, from the table that the worker looks them up in.

python tools/function_table.py            a test fails where the page says something else
"""

from __future__ import annotations

import re
from pathlib import Path

from shuffle_worker.expressions.functions import FUNCTIONS

PAGE = Path(__file__).parents[1] / "docs/expressions.md"
BEGIN, END = "<!-- functions: made by tools/function_table.py -->\n", "<!-- end of functions -->"
SECTIONS = (
    *("Text", "Regular expressions", "Numbers", "Choices", "Dates and times", "Times as text"),
    *("Lists and structs", "Hashes"),
)
_TABLE = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


def table() -> str:
    """A table for each kind of function."""
    every = {id(function): function for function in FUNCTIONS.values()}.values()
    unknown = {function.section for function in every} - set(SECTIONS)
    if unknown:
        raise SystemExit(f"SECTIONS says nothing of {', '.join(unknown)}")
    parts: list[str] = []
    for heading in SECTIONS:
        parts += [f"\n### {heading}\n", "| function | gives | what |", "| --- | --- | --- |"]
        for one in (function for function in every if function.section == heading):
            others = f" Also called {', '.join(f'`{name}`' for name in one.names[1:])}." if one.names[1:] else ""
            parts.append(f"| `{one.signature}` | {one.result.said} | {one.says}{others} |")
    return "\n".join(parts) + "\n\n"


def page(text: str) -> str:
    """The page with the tables as they are now."""
    return _TABLE.sub(lambda _: BEGIN + table() + END, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
