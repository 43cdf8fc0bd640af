"""After every test nothing that it started may be left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest


def running() -> list[psutil.Process]:
    """What descends from this process and has not ended. A test before may have made this process adopt orphans, which
    then stay zombies."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(running())
    yield
    left = [child for child in running() if child not in before]
    for child in left:
        os.kill(child.pid, 9)
    assert not left
