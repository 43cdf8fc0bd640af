"""What the file system refuses, said for people; nothing half-written stays."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from shuffle_protocol.errors import AccessDenied, InputNotFound, InvalidSpec, OutOfDisk
from shuffle_worker.storage import LocalStorage
from shuffle_worker.storage.failures import failure


def test_a_full_disk_names_the_path_and_the_room_left() -> None:
    said = failure("/dev/shm/x/part-0", "writing", OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(said, OutOfDisk)
    assert "/dev/shm/x/part-0" in said.message
    assert "MiB free" in said.message


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path) -> None:
    """/dev/full is the device on which every write finds no room."""
    sink = LocalStorage().create(str(tmp_path / "part"))
    full = os.open("/dev/full", os.O_WRONLY)
    raw = sink._file.raw  # type: ignore[attr-defined]
    os.dup2(full, raw.fileno())
    os.close(full)
    with pytest.raises(OutOfDisk, match="part"):
        for _ in range(4):
            sink.write(bytes(1 << 20))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_at_commit_leaves_nothing(tmp_path: Path) -> None:
    sink = LocalStorage().create(str(tmp_path / "part"))
    sink.write(b"still in the buffer")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._file.raw.fileno())  # type: ignore[attr-defined]
    os.close(full)
    with pytest.raises(OutOfDisk, match="part"):
        sink.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_file_size_limit_is_said(tmp_path: Path) -> None:
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        sink = LocalStorage().create(str(tmp_path / "part"))
        with pytest.raises(OutOfDisk, match="the file is too large for the disk, or for the process's limit"):
            for _ in range(4):
                sink.write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InvalidSpec, match="a file stands where a folder is needed"):
        LocalStorage().create(str(tmp_path / "file" / "part"))


def test_a_folder_where_a_file_is_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    sink = LocalStorage().create(str(tmp_path / "part"))
    with pytest.raises(InvalidSpec, match="is a folder"):
        sink.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_refused_is_access_denied(code: int) -> None:
    said = failure("/x/y", "reading", OSError(code, os.strerror(code)))
    assert isinstance(said, AccessDenied)
    assert "/x/y" in said.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(0)
    with pytest.raises(AccessDenied, match="permission denied"):
        LocalStorage().read(str(tmp_path / "f"))


def test_how_far_a_path_exists_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound) as refused:
        LocalStorage().find(str(tmp_path / "a" / "b"))
    assert f"({tmp_path} exists)" in refused.value.message


def test_links_that_go_round_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    assert [info.path for info in LocalStorage().find(str(tmp_path))] == [str(tmp_path / "d" / "f")]


def test_removing_the_last_file_of_staging_removes_the_folder_it_made(tmp_path: Path) -> None:
    storage = LocalStorage()
    plan = str(tmp_path / "out" / "_shuffle-1" / "plan")
    storage.put(plan, b"x")
    storage.remove([plan])
    assert list(tmp_path.iterdir()) == []


def test_removing_keeps_folders_that_hold_something(tmp_path: Path) -> None:
    storage = LocalStorage()
    storage.put(str(tmp_path / "out" / "keep"), b"x")
    storage.put(str(tmp_path / "out" / "_shuffle-1" / "plan"), b"x")
    storage.remove([str(tmp_path / "out" / "_shuffle-1" / "plan")])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["keep"]


def test_nothing_is_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something else")
    for folder in ("file", "file/below"):
        assert LocalStorage().listing(f"{tmp_path}/{folder}") == []
