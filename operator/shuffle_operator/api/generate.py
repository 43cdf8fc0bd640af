"""Writes the files that are made from the models: `python -m shuffle_operator.api.generate [FOLDER]`.

These are crds/shufflejobs.yaml, the chart's copy of it, and docs/reference/shufflejob.md, below the folder given, by
default the current one. `make crds` calls it, a test compares, and `shuffle crd` prints the first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shuffle_operator.api.reference import reference_page
from shuffle_operator.api.schema import crd_yaml

CRD_PATH = "crds/shufflejobs.yaml"
CHART_PATH = "charts/shuffle-operator/crds/shufflejobs.yaml"
REFERENCE_PATH = "docs/reference/shufflejob.md"


def generated() -> dict[str, str]:
    """Every generated file: its path below the project's folder, and its text."""
    return {CRD_PATH: crd_yaml(), CHART_PATH: crd_yaml(), REFERENCE_PATH: reference_page()}


def write(folder: Path) -> None:
    for path, text in generated().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
