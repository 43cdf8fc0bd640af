"""Prints every requirement that pyproject.toml names, of the program, its development and its build, one a line.

`make lock` compiles constraints.txt from them, without the extras `flyte` and `airflow`, which most people do not want
and which bring a hundred packages, and without `gcs` and `azure`, which bring some thirty packages for a few tests.
With `--image`: those of the container image, which has the program and its extras for Kubernetes, Zarr and functions.
With `--upstream`: everything, with pre-releases of the packages in `UPSTREAM` let in (make upstream).
With `--release`: the programs that a release is made with (make dist), and the build's.
With `--clouds`: the extras `gcs` and `azure` and what else their tests need, for constraints-clouds.txt.
With `--flyte`: those of the program with the extra `flyte` and what its tests need, for constraints-flyte.txt; with
`--airflow` the same for Airflow, and with `--orchestrators` for those whose examples are tested.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

UPSTREAM = {"pyarrow", "pandas", "numpy", "zarr", "fsspec", "s3fs", "aiohttp", "kopf", "kubernetes", "pydantic"}
"""What is tested before it is released: `>=20.dev0` lets pre-releases of one package in, `--pre` those of all."""


APART = ("airflow", "flyte", "gcs", "azure")
"""Extras that are locked by themselves."""


def requirements(pyproject: Path, of: str = "") -> list[str]:
    """of: an option without its dashes; "" is what `make setup` installs."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, groups = content["project"], content["dependency-groups"]
    build, extras = content["build-system"]["requires"], project["optional-dependencies"]
    usual = [texts for name, texts in extras.items() if name not in APART]
    parts = {
        "": [project["dependencies"], *usual, groups["dev"], build],
        "upstream": [project["dependencies"], *usual, groups["dev"], build],
        "image": [project["dependencies"], extras["kubernetes"], extras["zarr"], extras["functions"]],
        "release": [groups["release"], build],
        "clouds": [extras["gcs"], extras["azure"], groups["clouds"]],
        "flyte": [project["dependencies"], extras["flyte"], groups["flyte"], build],
        "airflow": [project["dependencies"], extras["airflow"], groups["airflow"], build],
        "orchestrators": [project["dependencies"], extras["kubernetes"], groups["orchestrators"], build],
    }
    found = sorted({requirement for part in parts[of] for requirement in part})
    return [_early(requirement) for requirement in found] if of == "upstream" else found


def _early(requirement: str) -> str:
    name, bound, version = requirement.partition(">=")
    return f"{name}{bound}{version}.dev0" if name in UPSTREAM and bound else requirement


if __name__ == "__main__":
    wanted = sys.argv[1].removeprefix("--") if sys.argv[1:] else ""
    sys.stdout.write("\n".join(requirements(Path(__file__).parents[1] / "pyproject.toml", wanted)) + "\n")
