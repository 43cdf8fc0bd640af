"""The documentation site: generated pages and pictures are as they would be made now, each page is in its order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.project import PROJECT, script

SITE, REFERENCES, PICTURES = (script(f"tools/{name}.py") for name in ("site", "references", "pictures"))


@pytest.mark.parametrize("name", REFERENCES.PAGES)
def test_a_reference_is_what_the_code_says(name: str) -> None:
    page = (PROJECT / "docs/reference" / name).read_text(encoding="utf-8")
    assert page == REFERENCES.PAGES[name]().rstrip() + "\n", "run make docs"


def test_a_reference_follows_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from shuffle_local.cli import validate

    monkeypatch.setattr(validate.validate, "__doc__", "Another line.")
    assert "Another line." in REFERENCES.commands()


@pytest.mark.parametrize("name", PICTURES.PICTURES)
def test_a_picture_is_what_its_rows_say(name: str) -> None:
    assert (PICTURES.FOLDER / f"{name}.svg").read_text(encoding="utf-8") == PICTURES.PICTURES[name](), "run make docs"


def places(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else places(value)


def test_every_page_has_one_place_in_the_sites_order() -> None:
    nav = tomllib.loads((PROJECT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(places(nav)) == sorted([*SITE.names().values(), SITE.EXAMPLES])


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("README.md", "[a](docs/join.md#the-nearest-in-time)", "[a](join.md#the-nearest-in-time)"),
        ("README.md", "[what `--json` prints](docs/json.md)", "[what `--json` prints](json.md)"),
        ("README.md", "![a](docs/pictures/join.svg)", "![a](pictures/join.svg)"),
        ("README.md", "[decisions](docs/decisions/)", "[decisions](decisions/0001-a-hash-of-our-own.md)"),
        ("README.md", "[licence](LICENSE)", "licence"),
        ("docs/join.md", "[a](../CHANGELOG.md)", "[a](changelog.md)"),
        ("docs/join.md", "[a](../examples/join.yaml)", "[a](examples.md#joinyaml)"),
        ("docs/join.md", "[a](../examples/apply/)", "[a](examples.md)"),
        ("docs/join.md", "[a](../operator/shuffle_operator/handlers/rbac.py)", "a"),
        ("docs/decisions/0006-rooms.md", "[a](../architecture.md)", "[a](../architecture.md)"),
        ("docs/decisions/0006-rooms.md", "![a](../pictures/join.svg)", "![a](../pictures/join.svg)"),
        ("docs/join.md", "[a](https://example.com) [b](#here)", "[a](https://example.com) [b](#here)"),
        ("docs/join.md", "```\n[a](../CHANGELOG.md)\n```", "```\n[a](../CHANGELOG.md)\n```"),
    ],
)
def test_links_lead_to_where_things_are_in_the_site(source: str, text: str, expected: str, monkeypatch: Any) -> None:
    pages = SITE.names()
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    assert SITE.page(source, pages) == expected
    assert os.path.exists(PROJECT / source)  # noqa: PTH110 - not Path's, which reads as said above
