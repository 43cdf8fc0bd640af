"""What a release consists of: locked by hashes, no larger than needed, named part by part."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tools" / "release"))

import chart  # noqa: E402
import contents  # noqa: E402
import slim  # noqa: E402

HASHED = ["requirements-development.txt", "requirements-image.txt", "requirements-release.txt"]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


def pinned(file: str) -> dict[str, tuple[str, int]]:
    """Name to version, and how many hashes it has."""
    blocks = re.split(r"^(?=\S)", (PROJECT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [re.match(r"([A-Za-z0-9._-]+)==(\S+)", block) for block in blocks]
    return {m[1]: (m[2], block.count("--hash=sha256:")) for m, block in zip(found, blocks, strict=True) if m}


@pytest.mark.parametrize("file", HASHED)
def test_every_package_is_pinned_by_its_hashes_and_no_place_is_named(file: str) -> None:
    packages = pinned(file)
    assert len(packages) > 20
    assert [name for name, (_, hashes) in packages.items() if not hashes] == []
    for line in (PROJECT / file).read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"\S+==\S+( ; [^\\/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


@pytest.mark.parametrize("file", HASHED[:2])
def test_what_is_locked_by_hash_is_what_is_locked_by_version(file: str) -> None:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = dict(line.split("==") for line in lines if re.match(r"\S+==\S+$", line))
    assert {name: version for name, (version, _) in pinned(file).items() if versions.get(name) != version} == {}
    if "development" in file:
        assert pinned(file).keys() == versions.keys()


def test_the_image_has_what_its_extras_ask_for_and_no_tool_of_ours() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    image = pinned("requirements-image.txt").keys()
    asked = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["kubernetes"]]
    assert {re.split(r"[<>=\[]", text)[0] for text in asked} <= image
    assert not {"pytest", "mypy", "ruff", "hatchling", "moto"} & image


def test_the_base_image_is_pinned_by_its_digest() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = {line.split()[-1] for line in lines if " AS " in line}
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    for base in bases:
        assert base in stages or re.fullmatch(r"[a-z0-9./:-]+@sha256:[0-9a-f]{64}", base), base
    assert "--require-hashes" in "".join(lines)


@pytest.mark.parametrize(
    ("version", "semantic"),
    [
        ("0.2.0", "0.2.0"),
        ("1.2", "1.2.0"),
        ("0.2.0rc1", "0.2.0-rc.1"),
        ("0.2.0a1", "0.2.0-alpha.1"),
        ("0.2.0b12", "0.2.0-beta.12"),
        ("0.2.1.dev17", "0.2.1-dev.17"),
        ("0.2.0rc2.dev3", "0.2.0-rc.2.dev.3"),
        ("0.0.dev573", "0.0.0-dev.573"),
    ],
)
def test_a_version_as_helm_wants_it(version: str, semantic: str) -> None:
    assert chart.semantic(version) == semantic


@pytest.mark.parametrize("version", ["1.0.post1", "1!2.0", "1.0+local", "v1.0", ""])
def test_a_version_that_helm_cannot_order_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=r"expected X\.Y\.Z"):
        chart.semantic(version)


def written(folder: Path, files: list[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x" * 10)
    return folder


def test_what_nothing_uses_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    kept = [
        "botocore/data/endpoints.json",
        "botocore/data/s3/x/service-2.json.gz",
        "botocore/data/sts/a.gz",
        "numpy/testing/a.py",
        "pyarrow/flight.py",
        "pyarrow/lib.so",
        "pyarrow/libarrow.so.1",
        "x/tests.py",
    ]
    gone = [
        "botocore/data/ec2/a.gz",
        "botocore/data/s3control/a.gz",
        "numpy/_core/tests/a.py",
        "numpy/tests/a.py",
        "pyarrow/_flight.so",
        "pyarrow/include/a.h",
        "pyarrow/libarrow_flight.so.1",
        "x/__pycache__/a.pyc",
    ]
    freed = slim.slim(written(tmp_path, [*kept, *gone]))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
    assert sum(freed.values()) == 10 * len(gone)
    assert sum(slim.slim(tmp_path).values()) == 0


PART = {
    "type": "library",
    "name": "Some_Lib",
    "version": "1.0",
    "bom-ref": "some",
    "licenses": [{"license": {"id": "MIT"}}],
}
BILL: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "metadata": {"component": {**PART, "name": "shuffle-operator", "version": "0.2.0", "bom-ref": "it"}},
    "components": [PART],
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The file system of an image, as far as a bill looks at it."""
    site = "opt/shuffle/lib/python3.11/site-packages"
    texts = {
        f"{site}/some_lib-1.0.dist-info/METADATA": "Name: some.lib\nVersion: 1.0\n\nVersion: 9 of the text\n",
        f"{site}/shuffle_operator-0.2.0.dist-info/METADATA": "Name: shuffle-operator\nVersion: 0.2.0\n",
        "usr/local/lib/python3.11/site-packages/extra-3.dist-info/METADATA": "Name: extra\nVersion: 3\n",
        "etc/os-release": 'PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n',
        "var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.36+u9\n"
        "\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
        "Package: bare\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n",
        "usr/share/doc/libc6/copyright": "Format: x\n\nFiles: *\nLicense: LGPL-2.1+\n text\n\nLicense: GPL-2\n",
        "usr/share/doc/bare/copyright": "Do as you like.\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_bill_of_an_image_has_debians_packages_and_the_bases_too(image: Path) -> None:
    bill = contents.bill_of_image(image, BILL)
    assert bill["metadata"]["component"]["type"] == "container"
    assert contents.licences(bill) == {
        "bare 2": "see usr/share/doc/bare/copyright",
        "debian 12": "",
        "extra 3": "",
        "libc6 1:2.36+u9": "GPL-2 and LGPL-2.1+",
        "shuffle-operator 0.2.0": "MIT",
        "Some_Lib 1.0": "MIT",
    }
    urls = [component.get("purl") for component in bill["components"]]
    assert "pkg:deb/debian/libc6@1%3A2.36%2Bu9?arch=amd64&distro=debian-12" in urls
    assert "| libc6 1:2.36+u9 | GPL-2 and LGPL-2.1+ |" in contents.report(bill)


def test_an_image_of_other_packages_than_the_wheels_has_no_bill(image: Path) -> None:
    other = {**BILL, "components": [{**PART, "version": "1.1"}]}
    with pytest.raises(contents.Incomplete, match="differ in some-lib"):
        contents.bill_of_image(image, other)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_no_more_than_it_says_and_calls_what_is_there(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", re.sub(r"#.*", "", text))) <= targets
    assert all(
        step.get("with", {}).get("persist-credentials") is False
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout")
    )


def test_only_the_release_may_write_and_each_of_its_jobs_only_what_it_makes() -> None:
    jobs = yaml.safe_load((PROJECT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    may = {name: sorted(k for k, v in job.get("permissions", {}).items() if v == "write") for name, job in jobs.items()}
    assert may == {
        "checks": [],
        "files": ["attestations", "id-token"],
        "image": ["attestations", "id-token", "packages"],
        "chart": ["packages"],
        "pypi": ["id-token"],
        "page": ["contents"],
    }
    assert "secrets." not in json.dumps(jobs)


def test_what_is_no_folder_is_not_made_slim(tmp_path: Path) -> None:
    script = PROJECT / "tools" / "release" / "slim.py"
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "none")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected folders that are there" in done.stderr
