"""docs/architecture.md and CONTRIBUTING.md name every room of the code, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
GUIDES = "".join(
    (PROJECT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "docs/adding-an-operation.md")
)
OPERATOR, WORKER = PROJECT / "operator" / "shuffle_operator", PROJECT / "worker" / "shuffle_worker"
ROOTS = (PROJECT, OPERATOR, WORKER, PROJECT / "protocol" / "shuffle_protocol", PROJECT / "local" / "shuffle_local")
DIAGRAM = PAGE.partition("    operator/shuffle_operator")[2].partition("    protocol/shuffle_protocol")[0]
TABLES = PAGE.partition("\n## The worker\n")[2].partition("\n## ")[0]


def parts(package: Path) -> set[str]:
    """Folders, as `plan/`, and modules, as `agent.py`."""
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    return folders | {path.name for path in package.glob("*.py") if not path.name.startswith("__")}


def test_the_diagram_has_all_of_the_operator() -> None:
    folders = re.findall(r"^      (\w+)  ", DIAGRAM, re.MULTILINE)
    modules = re.findall(r"\b\w+\.py\b", DIAGRAM)
    assert sorted([*(f"{name}/" for name in folders), *modules]) == sorted(parts(OPERATOR))


def test_the_tables_have_all_of_the_worker() -> None:
    first = " ".join(re.findall(r"^\| (`[^|]+`) \|", TABLES, re.MULTILINE))
    named = set(re.findall(r"`(\w+(?:/|\.py))`", TABLES))
    assert set(re.findall(r"`([^`]+)`", first)) <= parts(WORKER)
    assert parts(WORKER) <= named


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:\w+/)*\w+(?:/|\.py))`", PAGE + GUIDES))))
def test_what_the_page_names_is_there(name: str) -> None:
    assert [path for root in ROOTS for path in root.glob(f"**/{name}")], name


def test_the_list_of_arrays_is_whole() -> None:
    text = (WORKER / "arrays" / "__init__.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(\w+\.py)\b", text))
    assert named == {path.name for path in (WORKER / "arrays").glob("*.py")} - {"__init__.py"}
