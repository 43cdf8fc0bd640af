"""docs/window.md has every function, as it is written."""

from __future__ import annotations

from pathlib import Path

from shuffle_worker.windows.table import WINDOW_FUNCTIONS

PAGE = (Path(__file__).parents[2] / "docs/window.md").read_text(encoding="utf-8")


def test_the_page_has_every_function() -> None:
    rows = [line.partition(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]
    written = {part for row in rows for part in row.strip("| `").replace("`", "").split(", ") if part.endswith(")")}
    for name, function in WINDOW_FUNCTIONS.items():
        assert any(one.startswith(f"{name}(") for one in written) or function.signature in PAGE, name
