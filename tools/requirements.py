"""Prints every requirement that pyproject.toml names, of the program, its development and its build, one a line.

`make lock` compiles constraints.txt from them. With `--image`: those of the container image, which has the program and
its extra for Kubernetes.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, *, image: bool = False) -> list[str]:
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = content["project"]
    extras = project.get("optional-dependencies", {})
    groups = [project["dependencies"], *([extras["kubernetes"]] if image else extras.values())]
    if not image:
        groups += [content["dependency-groups"]["dev"], content["build-system"]["requires"]]
    return sorted({requirement for group in groups for requirement in group})


if __name__ == "__main__":
    found = requirements(Path(__file__).parents[1] / "pyproject.toml", image="--image" in sys.argv[1:])
    sys.stdout.write("\n".join(found) + "\n")
