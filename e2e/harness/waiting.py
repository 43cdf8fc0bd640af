"""Waiting for something to become true, with a sentence for when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLate(AssertionError):
    """It did not happen in time."""


def until(
    what: str, look: Callable[[], T | None], *, seconds: float = 60, every: float = 0.5, said: Callable[[], str] = str
) -> T:
    """The first answer of `look` that is true. said: what to add to the error."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TooLate(f"{what}: not in {seconds:.0f} s. {said()}")
        time.sleep(every)
