"""docs/glossary.md has words of the code alone, and who searches for a standard word finds its module."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
PACKAGES = ("operator", "worker", "protocol", "local")
STANDARD = ("Where a standard word leads", "Wire names")


@cache
def code() -> str:
    files = sorted(path for package in PACKAGES for path in (PROJECT / package).glob("**/*.py"))
    return "\n".join(f"{path.relative_to(PROJECT)}\n{path.read_text(encoding='utf-8')}" for path in files)


def sections() -> dict[str, list[list[str]]]:
    """Heading -> the rows of its table, cell by cell."""
    found: dict[str, list[list[str]]] = {}
    for section in PAGE.split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
        found[heading] = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return found


def spelled(word: str) -> re.Pattern[str]:
    """As prose, in snake_case or in CamelCase, at the beginning of a word."""
    return re.compile(r"(?<![a-z])" + re.sub(r"[ -]", r"[\\s_-]*", word), re.IGNORECASE)


WORDS = [row[0] for heading, rows in sections().items() if heading not in STANDARD for row in rows]
TERMS = [(row[0], row[1].strip("`")) for row in sections()[STANDARD[0]]]
WIRE = [name for row in sections()[STANDARD[1]] for name in re.findall(r"`(\w+)`", row[0])]


def test_each_word_has_one_line() -> None:
    assert len(WORDS) > 60
    assert sorted(WORDS) == sorted(set(WORDS))


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_in_the_code(word: str) -> None:
    assert spelled(word).search(code())


@pytest.mark.parametrize(("term", "module"), TERMS)
def test_a_standard_word_finds_its_module(term: str, module: str) -> None:
    text = (PROJECT / module).read_text(encoding="utf-8")
    assert spelled(term).search(module) or spelled(term).search(text), f"{module} never says {term}"


@pytest.mark.parametrize("name", WIRE)
def test_wire_names_are_still_there(name: str) -> None:
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    assert re.search(rf"^    {snake}: |name=\"{name}\"", code(), re.MULTILINE)


ONE_THING_TWICE = {"Client", "Operation"}
"""The same calls without and with asyncio; what a job asks for, and what carries it out."""


def test_no_two_public_classes_have_one_name() -> None:
    """But for those of `api/`, as a user writes them, and of `jobs.py`, as workers get them, which are one thing."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((PROJECT / package).glob("**/*.py")):
            if path.parent.name != "api":
                for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE):
                    found.setdefault(name, []).append(str(path.relative_to(PROJECT)))
    assert len(found) > 300
    assert {name: paths for name, paths in found.items() if len(paths) > 1 and name not in ONE_THING_TWICE} == {}
