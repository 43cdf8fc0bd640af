"""After every test nothing that it started may be left."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest


def running() -> list[psutil.Process]:
    """What descends from this process and has not ended. A test before may have made this process adopt orphans, which
    then stay zombies."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(running())
    yield
    left = [child for child in running() if child not in before]
    for child in left:
        os.kill(child.pid, 9)
    assert not left
