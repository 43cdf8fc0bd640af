"""Whatever happens to a worker, and whenever: the job goes on, and its output is what it would have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import REPARTITION, SORT, Job
from e2e.harness.kubectl import Object
from e2e.harness.waiting import until

Fault = Callable[[Job, Object], None]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Mends what was broken, when the test is over."""
    with ExitStack() as opened:
        yield opened


def delete(job: Job, pod: Object) -> None:
    job.kubectl.delete("pod", pod["metadata"]["name"])


def delete_now(job: Job, pod: Object) -> None:
    job.kubectl.delete("pod", pod["metadata"]["name"], now=True)


def lost(job: Job, phase: str, fault: Fault) -> dict[str, int]:
    """Strikes one worker in a phase; returns what the status says of workers when all is over and well."""
    job.until_phase(phase)
    running = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)
    fault(job, running[1])
    status = job.complete(seconds=400)
    counts: dict[str, int] = status["workers"]
    assert counts.get("lost", 0) + counts.get("replaced", 0) >= 1, job.told()
    return counts


@pytest.mark.core
def test_a_pod_is_deleted_while_rows_travel(submit: Submit, slowly: None, as_local: Compare) -> None:
    job = submit("deleted", REPARTITION)
    counts = lost(job, "Transferring", delete_now)
    assert counts["replaced"] >= 1
    as_local(job)
    assert any("lost" in event.lower() or "replac" in event.lower() for event in job.events()), job.events()


@pytest.mark.parametrize("phase", ["Transferring", "Writing"])
def test_a_pod_is_told_to_go(submit: Submit, slowly: None, as_local: Compare, phase: str) -> None:
    job = submit("told", SORT)
    lost(job, phase, delete)
    as_local(job)


@pytest.mark.parametrize("phase", ["Planning", "Transferring", "Writing"])
def test_a_process_is_killed(submit: Submit, faults: Faults, slowly: None, as_local: Compare, phase: str) -> None:
    job = submit("killed", REPARTITION)
    if phase == "Planning":
        first = until("a worker runs", lambda: (job.running() or [None])[0], seconds=60)
        faults.kill(first)
        status = job.complete(seconds=400)
    else:
        lost(job, phase, lambda _, pod: faults.kill(pod))
        status = job.status
    as_local(job)
    assert status["lastFailure"]["message"]


@pytest.mark.parametrize("phase", ["Transferring", "Writing"])
def test_a_worker_is_frozen(
    submit: Submit, faults: Faults, slowly: None, stack: ExitStack, as_local: Compare, phase: str
) -> None:
    job = submit("frozen", REPARTITION)
    lost(job, phase, lambda _, pod: stack.enter_context(faults.frozen(pod)))
    as_local(job)


def test_a_frozen_worker_that_wakes_up_does_no_harm(
    submit: Submit, faults: Faults, slowly: None, as_local: Compare
) -> None:
    job = submit("woken", REPARTITION)
    job.until_phase("Transferring")
    running = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)
    with faults.frozen(running[0]):
        until("it is missed", lambda: (job.status.get("workers") or {}).get("lost"), seconds=60)
    job.complete(seconds=400)
    as_local(job)


@pytest.mark.parametrize("phase", ["Transferring", "Writing"])
def test_a_node_is_out_of_reach(
    submit: Submit, faults: Faults, slowly: None, stack: ExitStack, as_local: Compare, phase: str
) -> None:
    job = submit("cut", REPARTITION)
    operator_node = faults.cluster.kubectl.within("shuffle-system").list(
        "pods", "app.kubernetes.io/component=operator"
    )[0]["spec"]["nodeName"]

    def cut(_: Job, __: Object) -> None:
        nodes = {pod["spec"]["nodeName"] for pod in job.running()} - {operator_node}
        stack.enter_context(faults.cut(nodes.pop()))

    lost(job, phase, cut)
    as_local(job)


def test_each_worker_is_lost_in_turn(submit: Submit, faults: Faults, slowly: None, as_local: Compare) -> None:
    """Disruptions do not count against backoffLimit."""
    job = submit("all-lost", REPARTITION, backoffLimit=0)
    job.until_phase("Transferring")
    for index in range(3):
        running = until("three workers run", lambda: len(job.running()) == 3 and job.running(), seconds=90)
        delete_now(job, running[index])
    job.complete(seconds=400)
    as_local(job)
