"""Prints every requirement that pyproject.toml names, of the program, its development and its build, one a line.

`make lock` compiles constraints.txt from them, without the extra `flyte`, which most people do not want and newer
Pythons cannot have, and without `gcs` and `azure`, which bring some thirty packages for a few tests.
With `--image`: those of the container image, which has the program and its extras for Kubernetes and Zarr.
With `--upstream`: everything, with pre-releases of the packages in `UPSTREAM` let in (make upstream).
With `--release`: the programs that a release is made with (make dist), and the build's.
With `--clouds`: the extras `gcs` and `azure` and what else their tests need, for constraints-clouds.txt.
With `--flyte`: those of the program with the extra `flyte` and what its tests need, for constraints-flyte.txt.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

UPSTREAM = {"pyarrow", "pandas", "numpy", "zarr", "fsspec", "s3fs", "aiohttp", "kopf", "kubernetes", "pydantic"}
"""What is tested before it is released: `>=20.dev0` lets pre-releases of one package in, `--pre` those of all."""


def requirements(
    pyproject: Path,
    *,
    image: bool = False,
    upstream: bool = False,
    release: bool = False,
    flyte: bool = False,
    clouds: bool = False,
) -> list[str]:
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, build = content["project"], content["build-system"]["requires"]
    extras = dict(project.get("optional-dependencies", {}))
    for_flyte = extras.pop("flyte", [])
    for_clouds = [requirement for name in ("gcs", "azure") for requirement in extras.pop(name, [])]
    if clouds:
        return sorted({*for_clouds, *content["dependency-groups"]["clouds"]})
    if release:
        return sorted({*content["dependency-groups"]["release"], *build})
    if flyte:
        groups = [for_flyte, content["dependency-groups"]["flyte"], build]
    elif image:
        groups = [extras["kubernetes"], extras["zarr"]]
    else:
        groups = [*extras.values(), content["dependency-groups"]["dev"], build]
    found = sorted({requirement for group in [project["dependencies"], *groups] for requirement in group})
    return [_early(requirement) for requirement in found] if upstream else found


def _early(requirement: str) -> str:
    name, bound, version = requirement.partition(">=")
    return f"{name}{bound}{version}.dev0" if name in UPSTREAM and bound else requirement


if __name__ == "__main__":
    options = {name: f"--{name}" in sys.argv[1:] for name in ("image", "upstream", "release", "flyte", "clouds")}
    found = requirements(Path(__file__).parents[1] / "pyproject.toml", **options)
    sys.stdout.write("\n".join(found) + "\n")
