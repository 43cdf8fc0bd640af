"""Every few seconds something happens to a worker, now and then to the operator: the output is what it would have been.

E2E_CHAOS_ROUNDS (3) jobs, one after the other, each with mischief drawn from E2E_CHAOS_SEED and the round.
"""

from __future__ import annotations

import contextlib
import os
import random
import time

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import REPARTITION, SORT, Job
from e2e.harness.operator import Operator

ROUNDS = int(os.environ.get("E2E_CHAOS_ROUNDS", "3"))
SEED = os.environ.get("E2E_CHAOS_SEED", "0")
PATIENCE = 900.0
"""Seconds that a job under fire may take."""

MOST = 12
"""Strikes in one job; after them it is left in peace, so that it ends."""


class Mischief:
    """told: what was done, to be read when a round fails."""

    def __init__(self, job: Job, faults: Faults, operator: Operator, draw: random.Random) -> None:
        self.told: list[str] = []
        self._job = job
        self._faults = faults
        self._operator = operator
        self._random = draw
        self._open = contextlib.ExitStack()

    def strike(self) -> None:
        """One thing, to one worker that runs, or to the operator. Whoever is gone meanwhile was struck already."""
        running = self._job.running()
        if not running:
            return
        pod = self._random.choice(running)
        name = pod["metadata"]["name"]
        what = self._random.choice(["kill", "freeze", "delete", "evict", "operator"])
        self.told.append(f"{what} {name if what != 'operator' else ''}")
        with contextlib.suppress(StopIteration, ProcessLookupError, FileNotFoundError, KeyError, IndexError):
            if what == "kill":
                self._faults.kill(pod)
            elif what == "freeze":
                self._open.enter_context(self._faults.frozen(pod))
            elif what == "delete":
                self._job.kubectl.delete("pod", name, now=True)
            elif what == "evict":
                self._job.kubectl.delete("pod", name)  # with its grace, as a drain does
            else:
                self._faults.kill(self._operator.pod())

    def end(self) -> None:
        """Whoever is frozen wakes up: as a zombie, if its work was given to others."""
        self._open.close()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_job_under_fire(
    submit: Submit, faults: Faults, operator: Operator, slowly: None, as_local: Compare, number: int
) -> None:
    draw = random.Random(f"{SEED} {number}")
    retain = draw.random() < 0.5
    job = submit(
        f"chaos-{number}",
        draw.choice([REPARTITION, SORT]),
        recovery={"retainShards": retain},
        backoffLimit=1000,
    )
    mischief = Mischief(job, faults, operator, draw)
    until = time.monotonic() + PATIENCE
    try:
        while job.phase not in ("Complete", "Failed") and time.monotonic() < until and len(mischief.told) < MOST:
            time.sleep(draw.uniform(2.0, 8.0))
            mischief.strike()
    finally:
        mischief.end()
    job.complete(seconds=max(60.0, until - time.monotonic()))
    as_local(job)
