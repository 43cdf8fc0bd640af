"""A function is named as workers import it, or refused with what to do."""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shuffle_local.python.functions import check_may_run, function_name, with_import_path
from shuffle_operator import InvalidJob, read_files, read_parquet
from shuffle_protocol.errors import InvalidSpec


def top(table: Any) -> Any:
    return table


class Things:
    def method(self, table: Any) -> Any:
        return table

    @classmethod
    def of_class(cls, table: Any) -> Any:
        return table

    @staticmethod
    def static(table: Any) -> Any:
        return table

    def __call__(self, table: Any) -> Any:
        return table


@functools.wraps(top)
def pretends(table: Any) -> Any:
    return table


def local() -> Callable[[Any], Any]:
    def inner(table: Any) -> Any:
        return table

    return inner


GOOD: list[tuple[Any, str]] = [
    ("sessions:f", "sessions:f"),
    (top, f"{__name__}:top"),
    (Things.static, f"{__name__}:Things.static"),
    (Things.of_class, f"{__name__}:Things.of_class"),
    (functools.reduce, "_functools:reduce"),
    (textwrap.dedent, "textwrap:dedent"),
]


@pytest.mark.parametrize(("function", "name"), GOOD, ids=[name for _, name in GOOD])
def test_a_function_that_can_be_imported_is_named(function: Any, name: str) -> None:
    assert function_name(function, "apply", "function") == name


BAD: list[tuple[Any, str]] = [
    (lambda table: table, "found a lambda, which has no name"),
    (local(), "found local.<locals>.inner, which is made inside of another function"),
    (Things().method, "found Things.method, a method of one object"),
    (Things(), "found an object of type Things"),
    (functools.partial(top), "found an object of type partial"),
    (7, "found an object of type int"),
    (None, "found an object of type NoneType"),
    (pretends, "found top, but"),
]


@pytest.mark.parametrize(("function", "said"), BAD, ids=[said for _, said in BAD])
def test_any_other_is_refused_with_what_to_do(function: Any, said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        read_parquet("in").group_by("a").apply(function)
    assert f"apply(function=...): {said}" in str(caught.value)
    assert "put it into a module" in str(caught.value)
    if function is not None:
        with pytest.raises(InvalidJob, match=r"read_files\(reader=\.\.\.\): found"):
            read_files("in", reader=function)


def main_module(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> Callable[[Any], Any]:
    """A function of a `__main__` that has these attributes."""
    main = ModuleType("__main__")
    vars(main).update({"__spec__": None, **attributes})
    exec("def mine(table): return table", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    function: Callable[[Any], Any] = vars(main)["mine"]
    return function


def test_a_script_is_the_module_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    function = main_module(monkeypatch, __file__="/srv/jobs.py")
    assert function_name(function, "apply", "function") == "jobs:mine"
    spec = type("Spec", (), {"name": "package.jobs"})
    function = main_module(monkeypatch, __spec__=spec, __file__="/srv/package/jobs.py")
    assert function_name(function, "apply", "function") == "package.jobs:mine"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (None, "found mine, which this notebook or prompt has made"),
        ("/srv/my-jobs.py", "found mine of the script my-jobs.py, which is no module's name"),
        ("/srv/jobs", "found mine of the script jobs, which is no module's name"),
        ("/srv/package/__main__.py", "found mine of the script __main__.py, which is no module's name"),
    ],
)
def test_what_is_no_module_is_refused(monkeypatch: pytest.MonkeyPatch, file: str | None, said: str) -> None:
    function = main_module(monkeypatch, **({} if file is None else {"__file__": file}))
    with pytest.raises(InvalidJob, match=said):
        function_name(function, "apply", "function")


def test_workers_look_where_this_process_imports_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "none")])
    table = read_parquet("in")
    job = table.group_by("a").apply("m:f").write_parquet("out")._here("run", 1, "512Mi")
    added = [source.path for source in with_import_path(job).functions.sources]
    assert added[0] == str(Path.cwd())
    assert str(tmp_path) in added
    assert not [path for path in added if "site-packages" in path or path.endswith(("python3.11", "lib-dynload"))]
    assert len(added) == len(set(added))
    assert all(Path(path).is_dir() for path in added)
    assert table.distinct().write_parquet("out")._here("run", 1, "512Mi").functions.sources == []


def test_a_module_that_a_worker_imports_runs_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    check_may_run()
    main_module(monkeypatch, __spec__=type("Spec", (), {"name": "shuffle_worker.functions.child"}))
    with pytest.raises(InvalidSpec, match=r'put that under `if __name__ == "__main__":`'):
        read_parquet("in").distinct().write_parquet("out").run()
