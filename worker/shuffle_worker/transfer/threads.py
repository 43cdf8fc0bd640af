"""Blocking work, seen from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function in a thread (in the simulation: at once) and returns its result."""


async def to_its_end(work: Awaitable[T], give_up: Callable[[], None] | None = None) -> T:
    """A thread cannot be stopped: a lease that touches the output is held until its thread is through. give_up: called
    when the lease is taken away, so that the thread ends sooner."""
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
