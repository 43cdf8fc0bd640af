"""Columns that are there twice, and work on names that must not grow with files times columns."""

from __future__ import annotations

import pytest

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import Input
from shuffle_protocol.names import check_once, first_twice
from shuffle_worker.inputs.listing import list_files
from shuffle_worker.storage import LocalStorage, urls
from shuffle_worker.storage.storage import Info, Survey


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        ([], None),
        (["a"], None),
        (["a", "A"], None),
        (["a", "a"], "a"),
        (["a", "b", "c", "b", "a"], "a"),
        (["a", "b", "c", "c", "b"], "b"),
        (["", ""], ""),
    ],
)
def test_the_first_name_that_is_there_twice(names: list[str], twice: str | None) -> None:
    assert first_twice(names) == twice
    if twice is None:
        check_once(names, "in/a.orc")
    else:
        with pytest.raises(DataError, match=f"^in/a.orc: two columns are called '{twice}'; rename one of them$"):
            check_once(names, "in/a.orc")


def test_a_path_is_brought_to_its_one_spelling_once_however_many_files_are_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [Info(f"/in/{at:04}.parquet", 1, "") for at in range(2000)]
    spelled: list[str] = []
    canonical = urls.canonical

    def counted(path: str) -> str:
        spelled.append(path)
        return canonical(path)

    class Many(LocalStorage):
        def survey(self, path: str) -> Survey:
            return Survey(files, "/in", False, [])

    monkeypatch.setattr(urls, "canonical", counted)
    assert len(list_files(Input(paths=["/in"]), Many()).files) == 2000
    assert spelled == ["/in"]
