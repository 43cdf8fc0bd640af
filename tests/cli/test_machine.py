"""Defaults that fit the machine, or the container that the program runs in."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from shuffle_local.cli import machine
from shuffle_worker.runtime import cgroup

GIB = 1 << 30


@pytest.mark.parametrize(
    ("second", "first", "limit", "free"),
    [
        (("4294967296", "1073741824"), None, 4 * GIB, 3 * GIB),
        (("1000", "5000"), None, 1000, 0),
        (("max", "5000"), None, None, None),
        (None, ("2000", "500"), 2000, 1500),
        (None, ("9223372036854771712", "500"), 9223372036854771712, 9223372036854771212),
        (("max", "5000"), ("2000", "500"), 2000, 1500),
        (("3000", None), None, 3000, None),
        (None, None, None, None),
    ],
)
def test_what_a_container_leaves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    second: tuple[str, str | None] | None,
    first: tuple[str, str | None] | None,
    limit: int | None,
    free: int | None,
) -> None:
    """Of both versions of control groups, the limit and what is used."""
    files = []
    for version, given in (("2", second), ("1", first)):
        names = tmp_path / f"max{version}", tmp_path / f"used{version}"
        for path, text in zip(names, given or (), strict=False):
            if text is not None:
                path.write_text(f"{text}\n")
        files.append((str(names[0]), str(names[1])))
    monkeypatch.setattr(cgroup, "FILES", tuple(files))
    assert (cgroup.limit(), cgroup.free()) == (limit, free)
    memory = psutil.virtual_memory()
    assert machine._limit() == min(memory.total, limit if limit is not None else memory.total)
    if free is not None and free < GIB:
        assert machine._available() == free
    assert machine.default_memory(1) >= machine.LEAST_MEMORY
