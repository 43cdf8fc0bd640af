"""What an environment or an image holds: a software bill of materials (CycloneDX) and a report of licences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

SPECIFICATION = "1.6"
"""Of CycloneDX."""
MAIN = "shuffle-operator"


class Incomplete(Exception):
    """A part whose licence nobody says, or parts that two looks do not agree on."""


def bill_of_environment(python: Path) -> dict[str, Any]:
    """Of the packages that a Python finds, by cyclonedx-py; with the project as what the bill is about."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of=JSON"]
    done = subprocess.run(
        [*command, f"--spec-version={SPECIFICATION}", str(python)], check=True, capture_output=True, text=True
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    for component in bill["components"]:
        # Where a file lay on the machine that made the bill says nothing to anybody.
        links = [link for link in component.get("externalReferences", []) if not link["url"].startswith("file:")]
        component["externalReferences"] = links
    (main,) = (component for component in bill["components"] if component["name"] == MAIN)
    bill["components"].remove(main)
    bill["metadata"]["component"] = {**main, "type": "application"}
    unsaid = sorted(component["name"] for component in bill["components"] if not component.get("licenses"))
    if unsaid:
        raise Incomplete(f"packages that do not say their licence: {', '.join(unsaid)}")
    return bill


def licences(bill: dict[str, Any]) -> dict[str, str]:
    """Name and version to licence, of every component of a bill and of what it is about."""
    found = {}
    for component in [bill["metadata"]["component"], *bill["components"]]:
        said = component.get("licenses", [])
        sure = [each.get("expression") or each["license"]["id"] for each in said if _is_spdx(each)]
        texts = sure or [_named(each["license"]) for each in said]
        found[f"{component['name']} {component.get('version', '')}"] = " and ".join(sorted(set(texts)))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _is_spdx(licence: dict[str, Any]) -> bool:
    return "expression" in licence or "id" in licence["license"]


def _named(licence: dict[str, Any]) -> str:
    """A name that is no identifier: of a classifier its end, of a whole text its first line."""
    return str(licence["name"]).strip().partition("\n")[0].rpartition(":: ")[2][:80]


def report(bill: dict[str, Any]) -> str:
    """The licences as a page."""
    lines = [f"| {what} | {licence.replace('|', '/')} |" for what, licence in licences(bill).items()]
    return "\n".join(["# Licences", "", "| part | licence |", "| --- | --- |", *lines, ""])


def bill_of_image(root: Path, environment: dict[str, Any]) -> dict[str, Any]:
    """environment: the bill of the wheel's environment, whose packages must be those of the image, no more and no
    other; to which Debian's packages and the base image's own are added. Raises Incomplete."""
    known = {_key(c["name"]): c for c in [environment["metadata"]["component"], *environment["components"]]}
    there = _distributions(root)
    ours = {name: version for name, version in there.items() if name in known}
    differ = sorted(name for name, component in known.items() if ours.get(name) != component["version"])
    if differ:
        raise Incomplete(f"the image and the wheel's environment differ in {', '.join(differ)}")
    base = [
        _library(name, version, f"pkg:pypi/{name}@{version}") for name, version in there.items() if name not in known
    ]
    release = _fields((root / "etc" / "os-release").read_text(encoding="utf-8").replace("=", ": "))
    system = {"type": "operating-system", "name": release["ID"].strip('"'), "version": release["VERSION_ID"].strip('"')}
    system["bom-ref"] = f"{system['name']}-{system['version']}"
    distribution = f"{system['name']}-{system['version']}"
    debian = [_debian(root, package, distribution) for package in _packages(root)]
    parts = [*environment["components"], *base, system, *debian]
    bill = {**environment, "components": sorted(parts, key=lambda part: str(part["bom-ref"]))}
    bill["metadata"] = {**environment["metadata"]}
    bill["metadata"]["component"] = {**environment["metadata"]["component"], "type": "container"}
    return bill


def _library(name: str, version: str, url: str, licence: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": url, "bom-ref": url}
    return made | ({"licenses": [{"license": {"name": licence}}]} if licence else {})


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions(root: Path) -> dict[str, str]:
    """Every Python package below a file system, wherever it was installed."""
    found = {}
    for metadata in [*root.glob("**/*.dist-info/METADATA"), *root.glob("**/*.egg-info/PKG-INFO")]:
        if not any(part.startswith("_vendor") for part in metadata.parts):
            fields = _fields(metadata.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0])
            found[_key(fields["Name"])] = fields["Version"]
    return found


def _packages(root: Path) -> list[dict[str, str]]:
    """Debian's, as dpkg has them."""
    text = (root / "var" / "lib" / "dpkg" / "status").read_text(encoding="utf-8")
    packages = [_fields(block) for block in text.split("\n\n") if block.strip()]
    return [package for package in packages if package.get("Status", "").endswith(" installed")]


def _fields(block: str) -> dict[str, str]:
    return {name: value.strip() for name, mark, value in (line.partition(":") for line in block.splitlines()) if mark}


def _debian(root: Path, package: dict[str, str], distribution: str) -> dict[str, Any]:
    name, version = package["Package"], package["Version"]
    url = f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}"
    return _library(
        name, version, f"{url}?arch={package['Architecture']}&distro={distribution}", _copyright(root, name)
    )


def _copyright(root: Path, name: str) -> str:
    """The licences that a package's copyright file names; of one that is no table, that it is to be read."""
    path = root / "usr" / "share" / "doc" / name / "copyright"
    if not path.exists():
        return ""
    named = re.findall(r"^License:[ \t]*(\S[^\n]*)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return " and ".join(sorted(set(named))) or f"see {path.relative_to(root)}"


def write(bill: dict[str, Any], path: Path) -> None:
    """Validated against CycloneDX's own schema first. Raises Incomplete."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    error = JsonStrictValidator(SchemaVersion.from_version(SPECIFICATION)).validate_str(text)
    if error is not None:
        raise Incomplete(f"{path.name} is no CycloneDX {SPECIFICATION}: {error}")
    path.write_text(text, encoding="utf-8")
