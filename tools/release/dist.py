"""Makes a release's files in dist/, and tries each of them: `make dist`.

    shuffle_operator-VERSION.tar.gz, -py3-none-any.whl   sdist; the wheel is built from it
    shuffle-operator-VERSION.tgz                         the chart
    shuffle-operator-VERSION.requirements.txt            what the image has beside the wheel, by hash
    shuffle-operator-VERSION.cdx.json, .licences.md      of the wheel with its extras for Kubernetes and Zarr
    shuffle-operator-VERSION.image.cdx.json, .licences.md    with --image: of the container image
    SHA256SUMS

--expect v1.2.3: fail where the version, which comes from git's tags, is another one, or files were changed.
--image ROOT: the file system of an image that was made of this very wheel (its files in dist/ stay as they are).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import chart
import clean
import contents
from slim import size, slim

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
NAME = "shuffle-operator"


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes a release's files in dist/, and tries each of them.")
    parser.add_argument("--expect", metavar="TAG", default="", help="fail where this is not the version, as v1.2.3")
    parser.add_argument("--image", metavar="ROOT", type=Path, help="of an image made of the wheel that is in dist/")
    options = parser.parse_args()
    try:
        if options.image:
            describe_image(options.image)
        else:
            make(options.expect)
    except (clean.NotWorking, contents.Incomplete, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(map(str, error.cmd))}\n{error.stderr or ''}", file=sys.stderr)  # noqa: T201
        return 1
    sums()
    return 0


def make(expected: str) -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    commit = _tool("hatch_build", ROOT / "hatch_build.py").commit_of(ROOT)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _time_of_commit())
    sdist, wheel = build()
    version = wheel.name.split("-")[1]
    if expected and (version != expected.removeprefix("v") or commit.endswith("-dirty")):
        raise ValueError(f"expected a clean checkout of {expected}, found version {version} of commit {commit}")
    say(f"version {version} of commit {commit[:12]}")
    packed = chart.package(helm(), ROOT / "charts" / NAME, version, DIST)
    requirements = DIST / f"{NAME}-{version}.requirements.txt"
    shutil.copy(ROOT / "requirements-image.txt", requirements)
    for made in (sdist, wheel, packed):
        say(f"{made.name}: {made.stat().st_size / 1e3:.0f} kB")

    with tempfile.TemporaryDirectory() as folder:
        locked = ["--require-hashes", "--no-compile", "--requirement", str(requirements)]
        python = clean.environment(Path(folder) / "wheel", locked, ["--no-deps", "--no-compile", str(wheel)])
        site = clean.site_packages(python)
        shown = f"{size(site) / 1e6:.0f} MB"
        slim(site)
        say(f"its site-packages: {shown}, slim {size(site) / 1e6:.0f} MB, compressed {compressed(site) / 1e6:.0f} MB")
        say(f"as in the image: {clean.try_out(python, version, commit)}")
        bill = contents.bill_of_environment(python)
        contents.write(bill, DIST / f"{NAME}-{version}.cdx.json")
        (DIST / f"{NAME}-{version}.licences.md").write_text(contents.report(bill), encoding="utf-8")
        say(f"{len(bill['components'])} packages beside it, each with a licence")

    with tempfile.TemporaryDirectory() as folder:
        os.environ["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")
        python = clean.environment(Path(folder) / "sdist", [str(sdist)])
        say(f"from the sdist: {clean.try_out(python, version, commit)}")


def build() -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it, as whoever installs the sdist builds it."""
    hatchling = [sys.executable, "-m", "hatchling", "build"]
    subprocess.run([*hatchling, "--target=sdist", f"--directory={DIST}"], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = DIST.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        subprocess.run(
            [*hatchling, "--target=wheel", f"--directory={DIST}"], cwd=source, check=True, capture_output=True
        )
    (wheel,) = DIST.glob("*.whl")
    return sdist, wheel


def describe_image(root: Path) -> None:
    wheels = list(DIST.glob("*.whl"))
    if len(wheels) != 1 or not (root / "etc").is_dir():
        raise ValueError(f"expected a wheel in {DIST} (make dist) and the file system of an image at {root}")
    version = wheels[0].name.split("-")[1]
    locked = ["--require-hashes", "--no-compile", "--requirement", str(ROOT / "requirements-image.txt")]
    with tempfile.TemporaryDirectory() as folder:
        python = clean.environment(Path(folder) / "wheel", locked, ["--no-deps", str(wheels[0])])
        bill = contents.bill_of_image(root, contents.bill_of_environment(python))
    contents.write(bill, DIST / f"{NAME}-{version}.image.cdx.json")
    (DIST / f"{NAME}-{version}.image.licences.md").write_text(contents.report(bill), encoding="utf-8")
    say(f"the image has {len(bill['components'])} parts and {size(root) / 1e6:.0f} MB of files")


def helm() -> Path:
    programs = _tool("helm_programs", ROOT / "tools" / "helm.py")
    folder: Path = programs.install(programs.cache() / "bin")
    return folder / "helm"


def compressed(folder: Path) -> int:
    """Bytes that a layer with this folder has in a registry."""
    target = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        archive.add(folder, arcname=".")
    return len(target.getvalue())


def sums() -> None:
    files = sorted(path for path in DIST.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (DIST / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _time_of_commit() -> str:
    """So that the same commit gives the same files."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "1577836800"


def _tool(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
