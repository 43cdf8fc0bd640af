"""Every few seconds something happens to a worker, now and then to the operator: the output is what it would have been.

E2E_CHAOS_ROUNDS (3) jobs, one after the other, each with mischief drawn from E2E_CHAOS_SEED and the round, and with
E2E_CHAOS_STRIKES (12) of it. With more input (E2E_EVENTS=2G) let it travel faster: E2E_CHAOS_RATES=400mbit,240mbit is
what comes to a node and goes from it.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import OVER, REPARTITION, SORT, Job
from e2e.harness.kubectl import Object
from e2e.harness.operator import Operator
from e2e.harness.process import ProgramFailed

ROUNDS = int(os.environ.get("E2E_CHAOS_ROUNDS", "3"))
SEED = os.environ.get("E2E_CHAOS_SEED", "0")
RATES = os.environ.get("E2E_CHAOS_RATES", "40mbit,24mbit").split(",")
PATIENCE = 900.0
"""Seconds that a job under fire may take."""

MOST = int(os.environ.get("E2E_CHAOS_STRIKES", "12"))
"""Strikes in one job; after them it is left in peace, so that it ends."""


class Mischief:
    """told: what was done, to be read when a round fails."""

    def __init__(self, job: Job, faults: Faults, operator: Operator, draw: random.Random) -> None:
        self.told: list[str] = []
        self._job = job
        self._faults = faults
        self._operator = operator
        self._random = draw
        self._broken: list[tuple[threading.Timer, contextlib.ExitStack]] = []
        self._cut: set[str] = set()

    def strike(self) -> None:
        """One thing, to one worker that runs, or to the operator. Whoever is gone meanwhile was struck already."""
        running = self._job.running()
        if not running:
            return
        pod = self._random.choice(running)
        what = self._random.choice(["kill", "freeze", "cut", "delete", "evict", "operator"])
        self.told.append(f"{what} {pod['metadata']['name'] if what != 'operator' else ''}")
        try:
            self._do(what, pod)
        except (ProgramFailed, StopIteration, ProcessLookupError, FileNotFoundError, KeyError, IndexError) as error:
            self.told[-1] += f" ({type(error).__name__})"

    def _do(self, what: str, pod: Object) -> None:
        if what == "kill":
            self._faults.kill(pod)
        elif what == "freeze":
            self._for_a_while(self._faults.frozen(pod))
        elif what == "cut":
            node = pod["spec"]["nodeName"]
            self._cut.add(node)
            self._for_a_while(self._faults.unreachable(node))
        elif what == "operator":
            self._faults.kill(self._operator.pods()[0])
        else:  # an eviction leaves it its grace, as a drain does
            self._job.kubectl.delete("pod", pod["metadata"]["name"], now=what == "delete")

    def _for_a_while(self, fault: contextlib.AbstractContextManager[None]) -> None:
        """Shorter or longer than workers may be silent: who wakes up late is a zombie, its work given to others."""
        stack = contextlib.ExitStack()
        stack.enter_context(fault)
        timer = threading.Timer(self._random.uniform(5.0, 40.0), stack.close)
        timer.start()
        self._broken.append((timer, stack))

    def end(self) -> None:
        for timer, stack in self._broken:
            timer.cancel()
            timer.join()
            stack.close()
        for node in self._cut:
            self._faults.until_ready(node)


@pytest.fixture
def at_a_pace(faults: Faults) -> Iterator[None]:
    with faults.slow(*RATES):
        yield


@pytest.mark.timeout(1500, func_only=True)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_job_under_fire(
    submit: Submit, faults: Faults, operator: Operator, at_a_pace: None, as_local: Compare, number: int
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
        while job.phase not in OVER and time.monotonic() < until and len(mischief.told) < MOST:
            time.sleep(draw.uniform(2.0, 8.0))
            mischief.strike()
    finally:
        mischief.end()
        print(f"round {number}, shards {'kept' if retain else 'not kept'}:", ", ".join(mischief.told))
    job.complete(seconds=max(60.0, until - time.monotonic()))
    as_local(job)
