"""A version comes from the tags, whatever the source came as; and an installation knows its commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shuffle_protocol import release
from shuffle_protocol.messages import VERSION

PROJECT = Path(__file__).parents[2]
FILES = (
    "pyproject.toml",
    "hatch_build.py",
    ".git_archival.txt",
    ".gitattributes",
    ".gitignore",
    "README.md",
    "LICENSE",
)
PACKAGES = ("protocol/shuffle_protocol", "worker/shuffle_worker", "operator/shuffle_operator", "local/shuffle_local")
QUIET = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    environment = {**os.environ, **QUIET}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def small(folder: Path) -> Path:
    """The project as far as building it goes, without its code."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    for name in PACKAGES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("")
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=a change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = small(tmp_path / "checkout")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def build(folder: Path, target: str = "wheel") -> Path:
    """The file that building made."""
    out = folder / "dist"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    environment = {**os.environ, **QUIET, "GIT_CEILING_DIRECTORIES": ""}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    (made,) = out.iterdir()
    return made


def unpacked(sdist: Path, into: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder


def inside(wheel: Path) -> tuple[str, str]:
    """The version and the commit that a wheel has."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
        version = next(line for line in lines if line.startswith("Version: ")).removeprefix("Version: ")
        name = "shuffle_protocol/COMMIT"
        return version, archive.read(name).decode().strip() if name in archive.namelist() else ""


def tagged(folder: Path) -> tuple[str, str]:
    made = commit(folder)
    git(folder, "tag", "v1.2.3")
    return "1.2.3", made


def two_later(folder: Path) -> tuple[str, str]:
    tagged(folder)
    commit(folder)
    return "1.2.4.dev2", commit(folder)


def candidate(folder: Path) -> tuple[str, str]:
    made = commit(folder)
    git(folder, "tag", "v2.0.0rc1")
    git(folder, "tag", "chart-9.9.9")  # of something else
    return "2.0.0rc1", made


def never_tagged(folder: Path) -> tuple[str, str]:
    commit(folder)
    return "0.0.dev3", commit(folder)


def changed(folder: Path) -> tuple[str, str]:
    made = tagged(folder)[1]
    (folder / "README.md").write_text("another text\n")
    return "1.2.4.dev0", f"{made}-dirty"


@pytest.mark.parametrize("history", [tagged, two_later, candidate, never_tagged, changed])
def test_a_wheel_of_a_checkout(checkout: Path, history: Callable[[Path], tuple[str, str]]) -> None:
    assert history(checkout) == inside(build(checkout))


def test_a_shallow_clone_has_no_tags_and_still_its_commit(checkout: Path, tmp_path: Path) -> None:
    made = two_later(checkout)[1]
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", "shallow")
    version, found = inside(build(tmp_path / "shallow"))
    assert version.startswith("0.0.dev")
    assert found == made


def test_an_sdist_hands_both_on_even_inside_of_another_repository(checkout: Path, tmp_path: Path) -> None:
    expected = two_later(checkout)
    around = tmp_path / "around"
    around.mkdir()
    git(around, "init", "--quiet")
    git(around, "commit", "--quiet", "--allow-empty", "--message=other")
    git(around, "tag", "v9.9.9")
    folder = unpacked(build(checkout, "sdist"), around / "packages")
    assert inside(build(folder)) == expected
    assert inside(build(unpacked(build(folder, "sdist"), tmp_path / "again"))) == expected


def test_an_archive_made_by_git_knows_both(checkout: Path, tmp_path: Path) -> None:
    expected = tagged(checkout)
    git(checkout, "archive", "--prefix=archived/", f"--output={tmp_path}/archive.tar", "HEAD")
    folder = unpacked(tmp_path / "archive.tar", tmp_path / "unpacked")
    assert inside(build(folder)) == expected


def test_a_copy_without_git_says_that_it_does_not_know(tmp_path: Path) -> None:
    assert inside(build(small(tmp_path / "copy"))) == ("0.0.dev0", "")


def test_an_editable_install_has_no_commit_of_the_past(checkout: Path, tmp_path: Path) -> None:
    tagged(checkout)
    made = subprocess.run(
        [sys.executable, "-c", "from hatchling.build import build_editable as b; print(b('.'))"],
        cwd=checkout, check=True, capture_output=True, text=True, env={**os.environ, **QUIET},
    ).stdout.split()[-1]  # fmt: skip
    assert inside(checkout / made) == ("1.2.3", "")


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "protocol" / "shuffle_protocol"
    folder.mkdir(parents=True)
    monkeypatch.setattr(release, "__file__", str(folder / "release.py"))
    return folder


def test_the_commit_of_an_installation_is_the_one_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = installed(tmp_path, monkeypatch)
    (folder / "COMMIT").write_text("0123456789abcdef0123456789abcdef01234567-dirty\n")
    assert release.commit() == "0123456789ab-dirty"
    assert release.described() == f"{release.version()} (commit 0123456789ab-dirty, protocol {VERSION})"


def test_a_checkout_is_asked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "pyproject.toml").write_text("")
    for _ in range(2):
        made = commit(tmp_path)
        assert release.commit() == made[: release.SHOWN]


def test_a_repository_that_merely_surrounds_an_installation_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    assert release.commit() == release.UNKNOWN
