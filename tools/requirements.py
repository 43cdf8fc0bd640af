"""Prints every requirement that pyproject.toml names, of the program, its development and its build, one a line.

`make lock` compiles constraints.txt from them.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path) -> list[str]:
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    groups = (
        content["project"]["dependencies"],
        content["dependency-groups"]["dev"],
        content["build-system"]["requires"],
    )
    return sorted({requirement for group in groups for requirement in group})


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(__file__).parents[1] / "pyproject.toml")) + "\n")
