"""Tells the project's maintainers what the nightly tests against pre-releases have found, in one issue.

    python tools/upstream/issue.py failed|passed --run URL

An issue with the label `upstream` is opened where tests failed, updated while it is open, and closed where they pass
again. There is never a second one: of several that are open the oldest counts. GITHUB_REPOSITORY, GITHUB_TOKEN and
GITHUB_API_URL say where.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as Xml
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "upstream"
LABEL = "upstream"
TITLE = "The tests fail with pre-releases"
MOST_TESTS = 50
MOST_CHARACTERS = 300
"""Of the message of one test: an issue may have 65,536 in all."""
TIMEOUT = 30.0


class Failure(NamedTuple):
    """A test that failed."""

    test: str
    message: str
    """The first line of what it said."""


class HostError(Exception):
    """The host refused a call, or did not answer."""


class Host:
    """Issues of one repository, over GitHub's API."""

    def __init__(self, repository: str, token: str, address: str = "https://api.github.com") -> None:
        self._issues = f"{address}/repos/{repository}/issues"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}

    def open_issue(self) -> int | None:
        """The oldest open issue with the label. What GitHub lists as issues has pull requests among them."""
        query = f"?labels={LABEL}&state=open&sort=created&direction=asc&per_page=100"
        found = [each for each in self._call("GET", query) if "pull_request" not in each]
        return int(found[0]["number"]) if found else None

    def create(self, title: str, body: str) -> int:
        return int(self._call("POST", "", {"title": title, "body": body, "labels": [LABEL]})["number"])

    def update(self, number: int, **changes: str) -> None:
        self._call("PATCH", f"/{number}", changes)

    def comment(self, number: int, body: str) -> None:
        self._call("POST", f"/{number}/comments", {"body": body})

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._issues + path, data, self._headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise HostError(f"{method} {request.full_url}: {error.code} {said}") from error
        except OSError as error:
            raise HostError(f"{method} {request.full_url}: {error}") from error


def report(host: Host, passed: bool, body: str, run: str) -> str:
    """What was done, in a sentence."""
    number = host.open_issue()
    if passed:
        if number is None:
            return "passed, and no issue is open"
        host.comment(number, f"They pass again: {run}")
        host.update(number, state="closed")
        return f"passed: issue {number} is closed"
    if number is None:
        return f"failed: issue {host.create(TITLE, body)} is opened"
    host.update(number, body=body)
    return f"failed: issue {number} is updated"


def text(failures: list[Failure] | None, differences: list[str], trouble: str, run: str) -> str:
    """The issue's body. failures: None where no test was run, of which trouble says why."""
    parts = [
        f"Found by [the nightly run]({run}); `make upstream` does the same. It is kept up to date while it is open."
    ]
    if failures is None:
        parts.append(f"The tests could not be run:\n\n{_fenced(trouble or 'nothing was said')}")
    else:
        shown = "\n".join(f"{f.test}\n    {f.message}" for f in failures[:MOST_TESTS])
        left = len(failures) - MOST_TESTS
        more = f"\n\nand {left} more." if left > 0 else ""
        parts.append(f"{len(failures)} failed twice:\n\n{_fenced(shown)}{more}")
    changed = _fenced("\n".join(differences)) if differences else "None: what fails is not theirs."
    parts.append(f"Versions that differ from those that are locked:\n\n{changed}")
    return "\n\n".join(parts) + "\n"


def _fenced(content: str) -> str:
    """As it is: no name of a test or a package is markup, a mention or the end of the fence."""
    return "````text\n" + content.replace("````", "'''' ") + "\n````"


def failures_of(path: Path) -> list[Failure] | None:
    """Of the tests' own report; None where there is none, or no test in it."""
    try:
        root = Xml.parse(path).getroot()  # noqa: S314 - written by our own tests
    except (OSError, Xml.ParseError):
        return None
    found = []
    for case in root.iter("testcase"):
        for kind in ("failure", "error"):
            for each in case.findall(kind):
                said = (each.get("message") or each.text or "").strip().partition("\n")[0]
                module, _, name = f"{case.get('classname')}::{case.get('name')}".partition("::")
                found.append(Failure(f"{module.replace('.', '/')}.py::{name}", said[:MOST_CHARACTERS]))
    return found if found or next(root.iter("testcase"), None) is not None else None


def differences(locked: str, found: str) -> list[str]:
    """`numpy 2.4.6 -> 2.5.0`, of what both have, and of what is new."""
    before, now = _versions(locked), _versions(found)
    changed = [
        f"{name} {before[name]} -> {now[name]}" for name in now.keys() & before.keys() if now[name] != before[name]
    ]
    return sorted(changed) + sorted(f"{name} {now[name]} is not locked" for name in now.keys() - before.keys())


def _versions(lines: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lines, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Opens, updates or closes the issue on pre-releases.")
    parser.add_argument("outcome", choices=["failed", "passed"])
    parser.add_argument("--run", metavar="URL", default="", help="of the run that found it")
    options = parser.parse_args()
    changed = differences(_read(ROOT / "constraints.txt"), _read(RESULTS / "versions.txt"))
    body = text(failures_of(RESULTS / "junit.xml"), changed, _read(RESULTS / "install.txt")[-5000:], options.run)
    address = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    host = Host(os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"], address)
    try:
        print(report(host, options.outcome == "passed", body, options.run))  # noqa: T201
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
