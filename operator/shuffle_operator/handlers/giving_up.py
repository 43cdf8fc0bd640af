"""A job whose machine is of no use: it raises again and again, or it has not ended what is long past its end.

Its machine is replaced once, by one of the next generation that has nothing to do but to stop the workers and to have
removed what was written, as for any job that fails. Where that raises too, or does not come to its end, the job is
ended without a machine: its pods are deleted, and the status says how it ended and what may be left. So no job outlives
its deadline by more than minutes, and none is tried for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from shuffle_operator.handlers import policies
from shuffle_operator.handlers.active import ActiveJob, World, take_up
from shuffle_operator.handlers.beginning import Beginner
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.cleaning import STOP_WITHIN, Cleaner
from shuffle_operator.handlers.policies import EVERY
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.handlers.writer import StatusWriter
from shuffle_protocol.messages import Phase

log = logging.getLogger("shuffle.operator")

Object = dict[str, Any]

OVERDUE = 60.0
"""Seconds for a machine beyond what it sets itself to stop its workers and have their output removed."""


class GivingUp:
    def __init__(
        self,
        world: World,
        cache: Cache,
        writer: StatusWriter,
        cleaner: Cleaner,
        beginner: Beginner,
        active: dict[str, ActiveJob],
        let_go: Callable[[ActiveJob], None],
    ) -> None:
        self.world = world
        self._cache = cache
        self._writer = writer
        self._cleaner = cleaner
        self._beginner = beginner
        self._active = active
        self._let_go = let_go

    async def step(self, active: ActiveJob) -> float | None:
        """Part of every pass over a job that runs. None: nothing is wrong with its machine. Otherwise seconds until the
        next pass; `outcome_written` says that it is over. Raises KubeError."""
        if active.given_up is None:
            self._judge(active)
        if active.given_up is not None:
            return await self._end(active, active.given_up)
        if not active.state.over and active.defects.enough(self.world.clock()):
            return await self._replace(active)
        return None

    def _judge(self, active: ActiveJob) -> None:
        """Whether the job must end without its machine, and how."""
        now, state = self.world.clock(), active.state
        if state.phase is Phase.COMPLETE:  # what is complete is that, whatever is wrong with saying so
            if active.defects.enough(now):
                active.given_up = Outcome(True, "Completed", "the output is complete")
            return
        if active.defects.enough(now) and (active.replacement or state.over):
            said = active.first_defect or active.defects.sentence("its coordinator")
            active.given_up = Outcome(False, "Internal", said + self._left(active))
            return
        late = self._overdue(active)
        if late:
            active.given_up = Outcome(False, "DeadlineExceeded", late + self._left(active))

    def _overdue(self, active: ActiveJob) -> str:
        """Why the job should have ended long ago; "" where it should not."""
        settings = active.state.settings
        if active.state.over:
            return ""
        limit = policies.settings_of(active.body, self.world.settings).active_deadline
        started = policies.started_at(active.body)
        patience = settings.stop_grace + settings.abort_deadline + OVERDUE
        if limit is None or started is None:
            return ""
        if (self.world.wall() - started).total_seconds() < limit + patience:
            return ""
        return f"the job took longer than its activeDeadlineSeconds, {limit:.0f} s, and did not end by itself"

    def _left(self, active: ActiveJob) -> str:
        return f"; its workers are stopped, and what they had written may be left in {active.state.job.output.path}"

    async def _replace(self, active: ActiveJob) -> float:
        """Replace the machine by one of the next generation, to undo the job."""
        said = active.defects.sentence("its coordinator")
        log.error("%s/%s: %s", active.namespace, active.name, said)
        old = active.state
        generation = policies.next_generation(active.body)
        noted = await self._beginner.note_intent(active.body, generation)
        if noted is None:
            return EVERY
        launcher = active.launcher
        made = take_up(self.world, noted, launcher.job, old.job, launcher.trust, generation, max(1, len(old.members)))
        made.replacement, made.first_defect = True, said
        made.loss = active.loss
        self._active[active.uid] = made
        made.launcher.observe(self._cache.pods(active.uid))
        try:
            made.cancel("Internal", said)
        except Exception as error:
            made.defect(error)
        self._let_go(active)
        return 0.0

    async def _end(self, active: ActiveJob, outcome: Outcome) -> float:
        """Without its machine: pods first, then the status says so."""
        now = self.world.clock()
        if active.over_since is None:
            active.over_since = now
        self.world.server.jobs.pop(active.uid, None)
        launcher = active.launcher
        launcher.finish()
        launcher.observe(self._cache.pods(active.uid))
        await self._cleaner.settle(active, lambda pod: policies.keeps_pod(active.body, pod, failed=True))
        if not launcher.gone and now - active.over_since < STOP_WITHIN:
            return EVERY
        await self._cleaner.release(active.body, {launcher.trust.authority}, gone=launcher.gone)
        if active.outcome_written:
            return 0.0
        before = active.body.get("status") or {}
        status = {key: value for key, value in before.items() if key != "conditions"}
        await self._writer.conclude(active.body, status, outcome, leaves=False)
        active.outcome_written = True
        return 0.0
