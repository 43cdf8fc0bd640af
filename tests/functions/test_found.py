"""Where functions are found, and what is said where they are not: folders, files, zips and wheels, near and far."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.functions.users import calling, module

from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec
from shuffle_protocol.jobs import CodeSource
from shuffle_worker.functions import sources
from shuffle_worker.functions.host import Trouble
from shuffle_worker.functions.load import find_in, load_function
from shuffle_worker.functions.sources import ImportPath, prepare


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def place(folder: Path, last: bool = True) -> ImportPath:
    return ImportPath(str(folder), "the folder of the job file", last)


def refused(name: str, *places: ImportPath) -> str:
    find_in(places)
    with pytest.raises(InvalidSpec) as caught:
        load_function(name, places)
    return caught.value.message


def test_a_function_or_a_method_of_an_object(tmp_path: Path) -> None:
    module(tmp_path, "found_a", "class C:\n    def f(self): return 7\nc = C()\n")
    find_in([place(tmp_path)])
    assert load_function("found_a:c.f")() == 7


def test_what_a_job_brings_comes_before_what_is_installed_and_after_pythons_own(tmp_path: Path) -> None:
    module(tmp_path / "brought", "xxhash", "version = 'brought'\n")
    module(tmp_path / "brought", "queue", "version = 'brought'\n")
    module(tmp_path / "beside", "msgspec", "version = 'beside'\n")
    find_in([place(tmp_path / "brought", last=False), place(tmp_path / "beside")])
    folders = [Path(entry) for entry in sys.path]
    stdlib = next(at for at, one in enumerate(folders) if (one / "queue.py").is_file())
    installed = next(at for at, one in enumerate(folders) if (one / "msgspec").is_dir())
    assert stdlib < folders.index(tmp_path / "brought") < installed < folders.index(tmp_path / "beside")


def test_a_module_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/mine")
    module(tmp_path, "sessions", "")
    message = refused("sesions:f", place(tmp_path), ImportPath("/nowhere", "ConfigMap code", False))
    assert "there is no module 'sesions'; did you mean 'sessions'?" in message
    assert "the folder of the job file (which has sessions)" in message
    assert "ConfigMap code (which is not there)" in message
    assert "PYTHONPATH /opt/mine" in message
    assert "site-packages" in message


def test_a_part_of_a_package_that_is_not_there(tmp_path: Path) -> None:
    module(tmp_path / "found_pkg", "__init__", "")
    module(tmp_path / "found_pkg", "windows", "")
    assert "no module 'found_pkg.window'; did you mean 'windows'?" in refused("found_pkg.window:f", place(tmp_path))


def test_an_import_inside_it_that_fails(tmp_path: Path) -> None:
    module(tmp_path, "found_b", "import pandaz\n")
    assert "found_b was found, but it imports 'pandaz', which was not" in refused("found_b:f", place(tmp_path))


def test_a_module_that_raises_says_where(tmp_path: Path) -> None:
    module(tmp_path, "found_c", "LIMIT = 1 / 0\n")
    message = refused("found_c:f", place(tmp_path))
    assert "importing found_c failed: ZeroDivisionError" in message
    assert "found_c.py, line 4, in <module>: LIMIT = 1 / 0" in message


def test_a_name_that_is_not_in_it_and_one_that_is_no_function(tmp_path: Path) -> None:
    module(tmp_path, "found_d", "def sessionize(t): return t\nlimit = 3\nasync def later(t): return t\n")
    assert "has no 'sesionize'; did you mean 'sessionize'?" in refused("found_d:sesionize", place(tmp_path))
    assert "is no function but an int" in refused("found_d:limit", place(tmp_path))
    assert "is an async function" in refused("found_d:later", place(tmp_path))


# -- sources ---------------------------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("name", ["code.zip", "mine-1.0-py3-none-any.whl"])
def test_a_zip_and_a_wheel(tmp_path: Path, name: str) -> None:
    members = {"in_zip/__init__.py": "", "in_zip/f.py": "def one(t): return 1", "in_zip/data.txt": "x"}
    members["in_zip-1.0.data/purelib/beside.py"] = "def two(t): return 2"
    path = zipped(tmp_path / name, members)
    places = prepare([CodeSource(str(path))], tmp_path / "scratch")
    assert places[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    find_in(places)
    assert load_function("in_zip.f:one", places)(None) == 1
    if name.endswith(".whl"):
        assert load_function("beside:two", places)(None) == 2
    assert (Path(places[0].folder) / "in_zip" / "data.txt").read_text() == "x"


def test_one_module_from_any_store_and_fetched_once(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/code/far_away.py", b"def f(t): return 'far'\n")
    source = CodeSource("memory://code/far_away.py")
    places = prepare([source], tmp_path)
    memory.rm("/code/far_away.py")
    assert prepare([source], tmp_path) == places
    find_in(places)
    assert load_function("far_away:f", places)(None) == "far"


def test_a_file_that_was_replaced_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "code.zip", {"a.py": "x = 1"})
    planned = [one.sha256 for one in prepare([CodeSource(str(path))], tmp_path / "one")]
    zipped(path, {"a.py": "x = 2"})
    with pytest.raises(DataError, match=r"sources\[0\].*replaced while the job ran"):
        prepare([CodeSource(str(path))], tmp_path / "two", planned)
    with pytest.raises(DataError, match="not the file that the job names"):
        prepare([CodeSource(str(path), sha256=planned[0])], tmp_path / "three")


def test_sources_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code.zip").write_bytes(b"no zip")
    (tmp_path / "code.tar").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"code.zip cannot be unpacked: File is not a zip file"):
        prepare([CodeSource(str(tmp_path / "code.zip"))], tmp_path / "s")
    with pytest.raises(InvalidSpec, match=r"is a file, and no .py, .zip or .whl"):
        prepare([CodeSource(str(tmp_path / "code.tar"))], tmp_path / "s")
    with pytest.raises(InvalidSpec, match=r"the folder .* is not there"):
        prepare([CodeSource(str(tmp_path / "none"), name="ConfigMap code")], tmp_path / "s")
    with pytest.raises(InvalidSpec, match="pack it into a zip"):
        prepare([CodeSource("s3://bucket/code/")], tmp_path / "s")
    with pytest.raises(InputNotFound, match=r"functions.sources\[0\].path: "):
        prepare([CodeSource(str(tmp_path / "gone.whl"))], tmp_path / "s")
    monkeypatch.setattr(sources, "MOST_BYTES", 10)
    zipped(tmp_path / "large.zip", {"a.py": "x = 1" * 10})
    with pytest.raises(InvalidSpec, match="10 B are the most"):
        prepare([CodeSource(str(tmp_path / "large.zip"))], tmp_path / "s")


def test_a_members_path_cannot_leave_its_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "code.zip", {"../../escaped.py": "x = 1"})
    prepare([CodeSource(str(path))], tmp_path / "a" / "scratch")
    assert [one for one in tmp_path.rglob("escaped.py") if "modules" not in one.parts] == []


def test_the_process_says_it_as_the_function_does(tmp_path: Path) -> None:
    module(tmp_path, "near", "def f(t, more): return t\n")
    with calling(tmp_path, "near:f") as host, pytest.raises(Trouble) as caught:
        host.start()
    assert caught.value.kind == "load"
    assert "is called with one argument, the table; its parameters are (t, more)" in caught.value.message
    assert not (tmp_path / "__pycache__").exists()
