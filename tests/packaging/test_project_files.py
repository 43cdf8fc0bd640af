"""The files around the code say what is true: locked versions, links, the Makefile, the pages on the command line."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.project import PROJECT, script

from shuffle_local.cli import program


def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(file: str = "constraints.txt") -> dict[str, str]:
    lines = (PROJECT / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.lstrip().startswith("#"))


@pytest.mark.parametrize("of", ["", "airflow", "flyte", "orchestrators"])
def test_every_requirement_is_locked_to_one_version_that_satisfies_it(of: str) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    file = f"constraints-{of}.txt" if of else "constraints.txt"
    versions = {canonicalize_name(name): version for name, version in locked(file).items()}
    for text in script("tools/requirements.py").requirements(PROJECT / "pyproject.toml", of):
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text


def test_what_the_extras_for_clouds_need_is_said_once_and_locked() -> None:
    from packaging.requirements import Requirement

    project = pyproject()
    extras = [
        *project["project"]["optional-dependencies"]["gcs"],
        *project["project"]["optional-dependencies"]["azure"],
    ]
    found = script("tools/requirements.py").requirements(PROJECT / "pyproject.toml", "clouds")
    assert set(extras) < set(found)
    assert not {Requirement(text).name for text in project["dependency-groups"]["clouds"]} & {
        Requirement(text).name for text in extras
    }
    versions = locked("constraints-clouds.txt")
    for text in found:
        assert Requirement(text).specifier.contains(versions[Requirement(text).name]), text


@pytest.mark.parametrize(
    ("of", "package"), [("flyte", "flytekit"), ("airflow", "apache-airflow-core"), ("orchestrators", "prefect")]
)
def test_what_others_are_tested_with_is_what_everything_is_tested_with(of: str, package: str) -> None:
    here, there = locked(), locked(f"constraints-{of}.txt")
    assert package in there
    assert package not in here
    shared = here.keys() & there.keys()
    assert {name: here[name] for name in shared} == {name: there[name] for name in shared}


def test_extras_with_the_kubernetes_client_leave_pip_nothing_to_search_for() -> None:
    """Its newest versions want python-dateutil 3, which no botocore can live with: unless told at once, pip goes
    through every version of aiobotocore there ever was, some 15 MB each, and does not end within a quarter hour."""
    from packaging.requirements import Requirement

    for name, texts in pyproject()["project"]["optional-dependencies"].items():
        bounds = {found.name: found.specifier for found in map(Requirement, texts)}
        if "kubernetes" in bounds:
            assert not bounds["python-dateutil"].contains("3.0.0"), name


@pytest.mark.parametrize("file", sorted(PROJECT.glob("constraints*.txt")), ids=lambda file: file.stem)
def test_the_lock_names_no_place(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+|    # via( .+)?|    #   .+", line), line
    assert "/" not in text
    assert "--" not in text


def test_links_between_pages_lead_somewhere() -> None:
    links = script("tools/check_links.py")
    pages = links.pages()
    assert PROJECT / "README.md" in pages
    assert [problem for page in pages for problem in links.broken(page)] == []


def test_every_page_is_in_the_readmes_list_once() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"\]\((docs/[^)#]+\.md)\)", text.partition("\n## Documentation\n")[2])
    pages = [path.relative_to(PROJECT).as_posix() for path in script("tools/check_links.py").pages()]
    assert sorted(listed) == sorted(p for p in pages if p.startswith("docs/") and "/decisions/" not in p)


def test_every_variable_of_the_operator_is_on_its_page_and_no_other() -> None:
    code = (PROJECT / "operator" / "shuffle_operator" / "settings.py").read_text(encoding="utf-8")
    page = (PROJECT / "docs/reference/settings.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([A-Z_`, ]+)` \|", page, re.MULTILINE)
    assert {name for names in listed for name in names.split("`, `")} == set(
        re.findall(r'"(SHUFFLE_\w+|POD_NAME|POD_NAMESPACE)"', code)
    )


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = script("tools/check_links.py")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[1](page.md#a-b-c) [2](no.md) [3](#nothing) [4](https://example.com) `[5](no.md)`\n")
    assert list(links.broken(page)) == ["page.md: no.md leads nowhere", "page.md: #nothing: no such heading"]


def test_every_make_target_that_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"setup", "demo", "test", "lint", "types", "crds", "docs", "bench", "e2e", "clean"} <= targets
    phony = re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony is not None
    assert {name for name in targets if (PROJECT / name).is_dir()} <= set(phony[1].split())  # never "up to date"
    for page in script("tools/check_links.py").pages():
        named = set(re.findall(r"(?:^|`|    )make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, page


def test_the_checks_run_the_readmes_test_command_last() -> None:
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake test " in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == "make test"
    assert (PROJECT / ".ci" / "run").stat().st_mode & 0o111


def test_every_command_is_on_its_page() -> None:
    page = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert set(program.COMMANDS) <= set(re.findall(r"^## (\w+)$", page, re.MULTILINE))


@pytest.mark.parametrize("name", [name for name in program.COMMANDS if name != "crd"])
def test_every_option_is_on_the_page(name: str) -> None:
    page = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    shown = subprocess.run(
        [sys.executable, "-c", "from shuffle_local.cli.main import main; main()", name, "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200"},
    ).stdout  # fmt: skip
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    assert options <= set(re.findall(r"--[a-z-]+", section))


def test_a_python_without_what_is_needed_is_told_what_to_install(tmp_path: Path) -> None:
    def ask(python: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": python}
        return subprocess.run([str(PROJECT / "tools" / "python.sh")], capture_output=True, text=True, env=environment)

    good = ask(sys.executable)
    assert (good.returncode, good.stdout.strip()) == (0, sys.executable)
    none = ask("no-such-python")
    assert none.returncode == 1
    assert "Python 3.11 or later is needed" in none.stderr
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    bare.chmod(0o755)
    lacking = ask(str(bare))
    assert lacking.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in lacking.stderr


def test_the_distribution_says_what_it_is() -> None:
    project = pyproject()["project"]
    program = "shuffle_local.cli.main:main"
    assert project["scripts"] == {"shuffle": program, "kubectl-shuffle": program}
    assert "Apache License" in (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0"


def test_test_modules_have_names_of_their_own() -> None:
    """Two of one name, in folders that are no packages, cannot be collected together."""
    modules = [file for file in (PROJECT / "tests").rglob("test_*.py") if not (file.parent / "__init__.py").exists()]
    names = [file.name for file in modules]
    assert sorted(file for file in modules if names.count(file.name) > 1) == []
