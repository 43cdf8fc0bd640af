"""Blocking work, as the event loop sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function in a thread (in the simulation: at once). Returns its result."""


async def to_its_end(work: Awaitable[T], give_up: Callable[[], None] | None = None) -> T:
    """Await work in a thread to its end, even when cancelled. A thread cannot be stopped, so a lease that touches the
    output is held until its thread is done. give_up: called on cancellation, so that the thread ends sooner."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if give_up is not None:
            give_up()
        raise
    finally:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()
