"""What the page is made of: files that are shipped as they are, and need no other address."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from shuffle_operator.web import assets
from shuffle_operator.web.bundle import bundle
from tests.project import PROJECT

STATIC = PROJECT / "operator" / "shuffle_operator" / "web" / "static"
MODULES = sorted(STATIC.glob("js/**/*.js"))

VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot-LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""SHA-256 of the files of uPlot 1.6.32 as its package has them."""


def test_the_library_is_what_its_package_has() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").iterdir()}
    assert found == VENDORED
    assert "v1.6.32" in (STATIC / "vendor" / "uPlot.iife.min.js").read_text(encoding="utf-8")[:100]
    assert "MIT License" in (STATIC / "vendor" / "uPlot-LICENSE").read_text(encoding="utf-8")


def test_the_library_is_small() -> None:
    names = ("vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names) < 300_000


def test_the_whole_page_is_small() -> None:
    parts = [assets.page("job"), *(assets.asset(name) for name in ("page.css", "page.js", "uPlot.js"))]
    assert sum(len(part.packed) for part in parts if part is not None) < 100_000


@pytest.mark.parametrize("path", [*MODULES, STATIC / "page.css", STATIC / "index.html"], ids=lambda path: path.name)
def test_files_name_no_other_address(path: Path) -> None:
    """But for the name of SVG's elements, which is not asked for."""
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://\S+|(?<!:)//[a-z]+\.\S+|@import|url\(", text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_make_no_markup_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
        r"|createContextualFragment|srcdoc"
    )
    assert re.findall(forbidden, text) == []


@pytest.mark.parametrize("path", [*MODULES, STATIC / "page.css"], ids=lambda path: path.name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_every_module_is_in_the_script() -> None:
    names = {str(path.relative_to(STATIC)) for path in MODULES}
    assert set(re.findall(r"^// (js/\S+\.js)$", assets.script(), re.MULTILINE)) == names


def test_nothing_in_the_script_ends_the_element_that_a_report_has_it_in() -> None:
    for text in (assets.script(), assets.library()):
        assert not re.search(r"</script|<!--|<script", text, re.IGNORECASE)
    assert "</style" not in assets.styles().lower()


def test_pages_have_no_script_or_style_of_their_own() -> None:
    for kind in ("jobs", "job"):
        text = assets.page(kind).body.decode()  # type: ignore[arg-type]
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text) == []
        assert "{" not in text


def test_a_name_that_is_not_there_is_none() -> None:
    for name in ("", "index.html", "../report.py", "js/main.js", "page.js/", "vendor/uPlot.min.css"):
        assert assets.asset(name) is None


def test_files_change_their_tag_with_their_content() -> None:
    script, styles = assets.asset("page.js"), assets.asset("page.css")
    assert script is not None and styles is not None and script.etag != styles.etag
    assert gzip.decompress(script.packed) == script.body


def test_the_wheel_has_all_of_it() -> None:
    """Hatchling takes everything below a package that git does not ignore."""
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "operator/shuffle_operator" in content["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert "operator/shuffle_operator/web/static/vendor/uPlot-LICENSE" in content["project"]["license-files"]


class TestBundle:
    def test_modules_are_put_after_those_that_they_import(self) -> None:
        files = {
            "a.js": 'import { b as c, d } from "./x/b.js";\nexport const e = c + d;\n',
            "x/b.js": 'import {\n  f,\n} from "../f.js";\nexport const b = f();\nexport class d {}\n',
            "f.js": "export async function g() {}\nexport function f() { return 1; }\n",
        }
        assert bundle("a.js", files.__getitem__) == (
            "// f.js\nconst module0 = (() => {\n"
            "async function g() {}\nfunction f() { return 1; }\nreturn { g, f };\n})();\n"
            "// x/b.js\nconst module1 = (() => {\nconst { f } = module0;\n"
            "const b = f();\nclass d {}\nreturn { b, d };\n})();\n"
            "// a.js\nconst module2 = (() => {\nconst { b: c, d } = module1;\nconst e = c + d;\nreturn { e };\n})();"
        )

    @pytest.mark.parametrize(
        "text",
        [
            'import x from "./b.js";',
            'import * as x from "./b.js";',
            'import "./b.js";',
            "export default 1;",
            "export let a = 1;",
            "export { a };",
        ],
    )
    def test_what_it_does_not_know_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not an import or export that can be put into one script"):
            bundle("a.js", {"a.js": text, "b.js": ""}.__getitem__)

    def test_circles_are_refused(self) -> None:
        files = {"a.js": 'import { b } from "./b.js";', "b.js": 'import { a } from "./a.js";'}
        with pytest.raises(ValueError, match=r"modules in a circle: a.js -> b.js -> a.js"):
            bundle("a.js", files.__getitem__)
