"""Loading the plan, which every worker does when it first gets a view that names one."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from shuffle_protocol.errors import InputNotFound, StorageUnavailable
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import Over
from shuffle_worker.transfer.work import Choose, Work

log = logging.getLogger("shuffle.worker")

SOON = 0.02
"""Seconds after which news of the job's end is first asked for again; each time twice as long."""


class PlanLoading(NamedTuple):
    choose: Choose
    aside: Run
    is_over: Callable[[], Awaitable[bool]]
    """Asks the coordinator whether the job is over."""
    tries: int
    pause: float
    """Seconds between them."""

    async def load(self, spec: Job, plan: str) -> tuple[Work, PlanSummary]:
        """A store that is away for a minute is an outage here as everywhere: it is no reason for a worker to end. A
        plan that is gone was removed at the end of the job, which a small one may reach before each worker has loaded
        it: raises Over then."""

        def load() -> tuple[Work, PlanSummary]:
            work = self.choose(spec)
            return work, work.load(spec, plan)

        soon = SOON
        for left in reversed(range(self.tries)):
            pause = self.pause
            try:
                loaded: tuple[Work, PlanSummary] = await self.aside(load)
                return loaded
            except StorageUnavailable as error:
                if not left:
                    raise
                log.warning("the plan cannot be loaded yet: %s", error.message)
            except InputNotFound:
                if await self.is_over():
                    raise Over("the job was over before this worker had its plan") from None
                if not left:
                    raise
                pause = min(soon, self.pause)
                soon *= 2
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        raise AssertionError("the last try returns or raises")
