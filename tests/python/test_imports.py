"""`shuffle_operator` stays cheap for the operator and the program, and has the names of the Python API for people."""

from __future__ import annotations

import subprocess
import sys

import pytest

import shuffle_operator
from shuffle_local import python


def loaded(code: str) -> set[str]:
    """The modules that are loaded once the code was run in a process of its own."""
    end = "; import sys; print(*sys.modules)"
    made = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
    return set(made.stdout.split())


def test_the_package_alone_imports_nothing() -> None:
    found = loaded("import shuffle_operator")
    assert not {name for name in found if name.startswith(("shuffle_local", "pydantic", "pyarrow", "shuffle_worker"))}


def test_building_a_job_starts_no_engine() -> None:
    found = loaded(
        "from shuffle_operator import read_parquet; read_parquet('a').distinct().write_parquet('b').to_yaml()"
    )
    assert "shuffle_local.python.job" in found
    assert not found & {"pyarrow", "aiohttp", "kubernetes", "s3fs", "numpy", "shuffle_local.run"}


def test_all_names_are_there_once() -> None:
    assert shuffle_operator.__all__ == python.__all__ == sorted(python.__all__)
    for name in shuffle_operator.__all__:
        assert getattr(shuffle_operator, name) is getattr(python, name)
        assert name in dir(shuffle_operator)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'read_parkett'"):
        _ = shuffle_operator.read_parkett  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from shuffle_operator import read_parkett")


def test_type_checkers_see_what_is_there() -> None:
    """The names under TYPE_CHECKING are those of `__all__`."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(shuffle_operator.__file__).read_text())
    seen = [name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(name for name in seen if name not in ("annotations", "TYPE_CHECKING")) == shuffle_operator.__all__


def test_every_package_says_that_it_has_types() -> None:
    """Type checkers take a package that was installed for untyped without the mark."""
    from tests.project import PROJECT

    for package in (
        "protocol/shuffle_protocol",
        "worker/shuffle_worker",
        "operator/shuffle_operator",
        "local/shuffle_local",
    ):
        assert (PROJECT / package / "py.typed").exists()
