"""Whole files that go past the page cache: the same bytes, and what a disk or a file system does not take so."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from shuffle_protocol.errors import InvalidSpec, OutOfDisk, StorageUnavailable
from shuffle_worker.runtime import direct
from shuffle_worker.runtime.direct import LEAST, PAGE
from shuffle_worker.storage import LocalStorage

SIZES = [LEAST, LEAST + 1, LEAST + PAGE, 2 * LEAST - 1]


def data(size: int, at: int = 0) -> memoryview:
    """Bytes that begin `at` bytes behind the beginning of a page."""
    memory = memoryview(mmap.mmap(-1, at + size))[at:]
    memory[:] = (bytes(range(251)) * (size // 251 + 1))[:size]
    return memory


@pytest.fixture
def passing(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage()
    storage.put(str(tmp_path / "try"), data(LEAST))
    if not storage._pace.passes:
        pytest.skip("the file system of the test's folder has no O_DIRECT")
    return storage


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_what_was_put(passing: LocalStorage, tmp_path: Path, size: int) -> None:
    before = passing._pace.written
    assert passing.takes(data(size))
    passing.put(str(tmp_path / "new" / "file"), data(size))
    assert (tmp_path / "new" / "file").read_bytes() == data(size)
    assert passing._pace.written - before == size // PAGE * PAGE
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


@pytest.mark.parametrize(("size", "at"), [(LEAST, 64), (LEAST - 1, 0), (0, 0)])
def test_what_does_not_suit_goes_through_it(passing: LocalStorage, tmp_path: Path, size: int, at: int) -> None:
    before = passing._pace.written
    assert not passing.takes(data(size, at) if size else b"")
    passing.put(str(tmp_path / "file"), data(size, at) if size else b"")
    assert (tmp_path / "file").read_bytes() == (data(size, at) if size else b"")
    assert passing._pace.written == before


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSPC])
def test_a_write_that_fails(
    passing: LocalStorage, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def refused(file: int, buffer: memoryview, offset: int) -> int:
        if len(buffer) >= PAGE and passing._pace.passes:
            raise OSError(number, os.strerror(number))
        return write(file, buffer, offset)

    monkeypatch.setattr(os, "pwrite", refused)
    if number == errno.EINVAL:  # of a file system: its files are written another way
        passing.put(str(tmp_path / "file"), data(LEAST + 1))
        assert (tmp_path / "file").read_bytes() == data(LEAST + 1)
        assert not passing.takes(data(LEAST))
        return
    with pytest.raises(OutOfDisk, match="no room left"):
        passing.put(str(tmp_path / "file"), data(LEAST + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["try"]


def test_a_slow_disk_is_written_through_it(
    passing: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "TRIED", LEAST)
    monkeypatch.setattr(direct, "SLOW", 1e15)
    passing.put(str(tmp_path / "file"), data(LEAST))
    assert not passing.takes(data(LEAST))


@pytest.mark.parametrize("size", [LEAST, 10])
def test_a_write_that_takes_nothing_ends(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(StorageUnavailable, match="nothing could be written"):
        LocalStorage().put(str(tmp_path / "file"), data(size))
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place_stays(passing: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(InvalidSpec, match="is a folder"):
        passing.put(str(tmp_path / "file"), data(LEAST))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "try"]
