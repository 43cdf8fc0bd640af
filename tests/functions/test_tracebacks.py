"""Whose frames are shown: the user's, wherever they lie and whatever the folder is called, and none of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

import shuffle_worker
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.functions.tracebacks import dumped, told

OURS = Path(shuffle_worker.__file__).parent


def raised_in(path: Path) -> BaseException:
    """An error with a frame in a file."""
    with pytest.raises(ValueError, match="no") as caught:
        exec(compile("def f():\n    raise ValueError('no')\nf()", str(path), "exec"), {})
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # type: ignore[union-attr]
    return caught.value


@pytest.mark.parametrize("name", ["functions/child.py", "columns/schema.py", "partitioning/cutter.py", "heap.py"])
def test_no_frame_of_the_package_is_told(name: str) -> None:
    assert told(raised_in(OURS / name)) == "ValueError: no"
    assert dumped(f'  File "{OURS / name}", line 3 in f\n') == []


@pytest.mark.parametrize(
    "folder",
    [
        "shuffle_worker",
        "shuffle_worker/functions",
        "lib/python3.11/site-packages/shuffle_worker",
        "shuffle_worker_mine",
    ],
)
def test_a_folder_of_the_users_is_the_users_whatever_it_is_called(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "mine.py"
    places = [ImportPath(str(tmp_path), "the folder of the job file", last=True)]
    lines = told(raised_in(path), places).splitlines()
    assert [line.strip() for line in lines[1:]] == [
        f"{folder}/mine.py, line 3, in <module>",
        f"{folder}/mine.py, line 2, in f",
    ]
    assert dumped(f'  File "{path}", line 3 in f\n', places) == [f"{folder}/mine.py, line 3 in f"]


def test_a_folder_beside_the_package_whose_name_begins_alike_is_not_ours() -> None:
    path = OURS.with_name("shuffle_worker_mine") / "mine.py"
    assert "in f" in told(raised_in(path), [ImportPath(str(path.parent), "mine", last=True)])
