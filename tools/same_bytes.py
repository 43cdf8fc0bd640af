"""Whether a commit and this checkout write the same bytes: `tools/same_bytes.py COMMIT [--size 20M] [--workers 2]`.

Runs every example that needs no cluster, and the jobs below, with the code of both on the same made-up data, and
compares every file of their output by its SHA-256. For changes that are to change nothing. Ends with 1 where a file
differs, is missing or is new. What it makes is below a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
EVENTS, WEATHER = "demo/events", "demo/weather.zarr"

MORE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "distinct-last": ({"distinct": {"by": ["user_id"], "keep": "Last"}}, {"partitions": 3}),
    "sorted-json": ({"sort": {"by": [{"column": "ts", "order": "Descending"}]}}, {"format": "JSON"}),
    "feather": ({"repartition": {"by": ["user_id"]}}, {"format": "Feather", "partitions": 5}),
    "orc": ({"repartition": {"by": ["user_id"]}}, {"format": "ORC", "partitions": 2}),
    "folders": ({"repartition": {"by": ["kind"]}}, {"partitionBy": ["kind"]}),
    "small-files": ({"repartition": {}}, {"targetPartitionSize": "1Mi"}),
}
"""Operations and outputs that no example has."""


def job(name: str, operation: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
    spec = {"operation": operation, "inputs": [{"path": f"{EVENTS}/"}], "output": {"path": f"demo/{name}/", **output}}
    return {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": name},
        "spec": spec,
    }


def jobs(folder: Path) -> Iterator[Path]:
    """Every job, as a file below `folder`, which has a copy of examples/."""
    examples = [
        path
        for part in ("examples", "examples/apply", "examples/map")
        for path in sorted((folder / part).glob("*.yaml"))
    ]
    for path in sorted(examples, key=lambda path: path.stem == "csv-to-folders"):  # which reads what another writes
        if "s3://" not in path.read_text(encoding="utf-8"):
            yield path
    for name, (operation, output) in MORE.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(job(name, operation, output)), encoding="utf-8")
        yield path


def made(tree: Path, folder: Path, workers: int) -> dict[str, str]:
    """What the code of a checkout writes: each file below demo/, by name, with its SHA-256."""
    packages = [str(package.parent) for package in tree.glob("*/shuffle_*") if package.is_dir()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    scripts = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["shuffle"].partition(":")
    program = [sys.executable, "-c", f"from {module} import {function}; {function}()"]
    for path in jobs(folder):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        shutil.rmtree(folder / spec["output"]["path"], ignore_errors=True)
        command = [*program, "run", str(path), "--workers", str(workers), "--memory", "512Mi"]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(f"{path.name} with the code in {tree} ended with {run.returncode}:\n{run.stderr[-2000:]}")
    files = (path for path in sorted((folder / "demo").rglob("*")) if path.is_file() and path.name != "_manifest.json")
    inputs = (folder / EVENTS, folder / WEATHER)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not any(path.is_relative_to(one) for one in inputs)
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("commit")
    options.add_argument("--size", default="20M")
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="same-bytes-") as name:
        folder = Path(name)
        before = folder / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(before), given.commit], check=True)
        try:
            data = folder / "data"
            shutil.copytree(ROOT / "examples", data / "examples")
            make = [sys.executable, str(ROOT / "examples/demo/make_events.py"), "--size", given.size, EVENTS]
            subprocess.run(make, cwd=data, check=True, stdout=subprocess.DEVNULL)
            make = [sys.executable, str(ROOT / "examples/demo/make_weather.py"), WEATHER]
            subprocess.run(make, cwd=data, check=True, stdout=subprocess.DEVNULL)
            old, new = made(before, data, given.workers), made(ROOT, data, given.workers)
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)
    different = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    print(f"{len(new)} files of {len({Path(path).parts[1] for path in new})} jobs, {len(different)} differ")  # noqa: T201
    print(*different, sep="\n", end="\n" if different else "")  # noqa: T201
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
