"""Builds the documentation site: `make site`, or python tools/site.py [--serve].

The pages are written to be read where the code is, so they link to files beside them. This gathers them in
build/pages, with the README as the first one and the examples as one more, points their links at pages of the site,
takes the link off what is not one (the code), and builds build/site with warnings as errors: a link or an anchor that
leads nowhere fails. zensical.toml has the order of the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build/pages"
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
    "benchmarks/README.md": "benchmarks.md",
    "e2e/README.md": "e2e.md",
}
"""Pages that are not below docs/, and what they are in the site."""

EXAMPLES = "examples.md"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def names() -> dict[str, str]:
    """Every page, as it is called in the project and in the site."""
    docs = {str(page.relative_to(ROOT)): str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    return docs | ELSEWHERE


def page(source: str, places: dict[str, str]) -> str:
    """The text of a page, its links pointing at where things are in the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    parts = _CODE.split(text)  # what is code stands at odd places
    parts[::2] = [_LINK.sub(lambda found: _link(found, source, places), part) for part in parts[::2]]
    return "".join(parts)


def _link(found: re.Match[str], source: str, places: dict[str, str]) -> str:
    picture, words, target = found.groups()
    name, mark, anchor = target.partition("#")
    if not name or re.match(r"[a-z]+:", target):
        return found[0]
    wanted = os.path.normpath(ROOT / source / ".." / name)
    path = os.path.relpath(wanted, ROOT)
    here = Path(places[source]).parent
    if picture:
        return f"![{words}]({os.path.relpath(os.path.relpath(path, 'docs'), here)})"
    place = places.get(path) or _example(path) or _first(path, places)
    if place is None:
        return words  # code: a reader of the site has none
    return f"[{words}]({os.path.relpath(place, here)}{mark}{anchor})"


def _example(path: str) -> str | None:
    if path.split("/")[0] != "examples":
        return None
    return f"{EXAMPLES}#{_anchor(path)}" if (ROOT / path).is_file() and path.endswith(_SHOWN) else EXAMPLES


def _first(folder: str, places: dict[str, str]) -> str | None:
    """The first page of a folder that a link leads to."""
    inside = sorted(name for name in places if name.startswith(f"{folder}/"))
    return places[inside[0]] if folder.startswith("docs/") and inside else None


_SHOWN = (".yaml", ".py")


def _anchor(path: str) -> str:
    return re.sub(r"[^\w\- ]", "", path.removeprefix("examples/").lower())


def examples() -> str:
    """A page of every example, whole."""
    lines = ["# Examples", "", "Each is run by a test. Those of one folder belong together.", ""]
    files = sorted((ROOT / "examples").rglob("*"), key=lambda file: (file.parent != ROOT / "examples", file))
    for file in files:
        if file.name.endswith(_SHOWN) and file.name != "__init__.py":
            kind = "yaml" if file.suffix == ".yaml" else "python"
            lines += [
                f"## {file.relative_to(ROOT / 'examples')}",
                "",
                f"```{kind}",
                file.read_text().rstrip(),
                "```",
                "",
            ]
    return "\n".join(lines)


def gather() -> None:
    """Fill build/pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    places = names()
    for source, place in places.items():
        target = PAGES / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(source, places), encoding="utf-8")
    (PAGES / EXAMPLES).write_text(examples(), encoding="utf-8")
    shutil.copytree(ROOT / "docs/pictures", PAGES / "pictures")


def main() -> int:
    gather()
    program = [str(Path(sys.executable).parent / "zensical")]
    if "--serve" in sys.argv[1:]:
        return subprocess.call([*program, "serve"], cwd=ROOT)
    shutil.rmtree(ROOT / "build/site", ignore_errors=True)
    done = subprocess.run(
        [*program, "build", "--clean", "--strict"], cwd=ROOT, env={**os.environ, "NO_COLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr.partition("Traceback")[0]))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
