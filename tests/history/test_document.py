"""The document that pages and reports are made of."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from shuffle_operator.history import document, figures
from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.figures import COLUMNS
from tests.history.plausible import largest, plausible, small

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "docs" / "reference" / "job-history.json"


def formatted(history: JobHistory) -> str:
    return msgspec.json.format(msgspec.json.encode(history), indent=1).decode() + "\n"


def test_the_example_is_a_history() -> None:
    """To make it anew: `EXAMPLE.write_text(formatted(small()))`."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert msgspec.json.decode(text, type=JobHistory) == small()
    assert text == formatted(small())


@pytest.mark.parametrize("ending", ["running", "complete", "failed"])
@pytest.mark.parametrize("workers", [1, 2, 40])
def test_plausible_histories_survive_json(ending: str, workers: int) -> None:
    made = plausible(workers=workers, ending=ending, lost=workers // 2)  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(made), type=JobHistory) == made


def test_the_largest_is_bounded() -> None:
    made = largest()
    assert len(made.timeline.columns) == COLUMNS
    assert len(made.workers) == 500
    assert len(msgspec.json.encode(made)) < 640 << 10


def test_every_field_is_documented() -> None:
    """Each class's docstring or a text under a field (or under a few of them) says what it means; names that say it
    all (`name`, `rows`) are few."""
    source = "".join(Path(str(one.__file__)).read_text(encoding="utf-8") for one in (document, figures))
    classes = re.findall(r"^class \w+\(Struct.*?(?=^class |\Z)", source, re.MULTILINE | re.DOTALL)
    assert len(classes) > 20
    assert all('"""' in text for text in classes)
