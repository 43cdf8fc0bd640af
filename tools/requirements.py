"""Prints every requirement that pyproject.toml names, of the program, its development and its build, one a line.

`make lock` compiles constraints.txt from them, without the extra `flyte`, which most people do not want and newer
Pythons cannot have, and without `gcs` and `azure`, which bring some thirty packages for a few tests.
With `--image`: those of the container image, which has the program and its extras for Kubernetes and Zarr.
With `--clouds`: the extras `gcs` and `azure` and what else their tests need, for constraints-clouds.txt.
With `--flyte`: those of the program with the extra `flyte` and what its tests need, for constraints-flyte.txt.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, *, image: bool = False, flyte: bool = False, clouds: bool = False) -> list[str]:
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, build = content["project"], content["build-system"]["requires"]
    extras = dict(project.get("optional-dependencies", {}))
    for_flyte = extras.pop("flyte", [])
    for_clouds = [requirement for name in ("gcs", "azure") for requirement in extras.pop(name, [])]
    if clouds:
        return sorted({*for_clouds, *content["dependency-groups"]["clouds"]})
    if flyte:
        groups = [for_flyte, content["dependency-groups"]["flyte"], build]
    elif image:
        groups = [extras["kubernetes"], extras["zarr"]]
    else:
        groups = [*extras.values(), content["dependency-groups"]["dev"], build]
    return sorted({requirement for group in [project["dependencies"], *groups] for requirement in group})


if __name__ == "__main__":
    options = {name: f"--{name}" in sys.argv[1:] for name in ("image", "flyte", "clouds")}
    found = requirements(Path(__file__).parents[1] / "pyproject.toml", **options)
    sys.stdout.write("\n".join(found) + "\n")
