"""Blocking work, seen from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function in a thread (in the simulation: at once) and returns its result."""


async def to_its_end(work: Awaitable[T]) -> T:
    """A thread cannot be stopped: a lease that touches the output is held until its thread is through."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()
