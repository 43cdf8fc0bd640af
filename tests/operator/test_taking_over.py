"""A new operator goes on where the last one was, counts what went meanwhile, and says so."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from shuffle_operator.coordinator.earlier import Earlier, Setback
from shuffle_operator.coordinator.events import HeldUp, Restored, Started, Tick, WorkerGone, WorkerMissed
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.kube.api import EVENTS, JOBS, PODS
from shuffle_protocol.messages import Counters
from tests.coordinator.builders import Play
from tests.coordinator.builders import job as message
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, until_phase, until_ready
from tests.operator.stage import NAMESPACE, Stage


def said(stage: Stage, reason: str) -> list[str]:
    return [b["message"] for (kind, _, _), b in stage.kube.objects.items() if kind == EVENTS and b["reason"] == reason]


async def half_way(stage: Stage, puppets: Puppets, **status: Any) -> None:
    """A job of two workers whose operator dies; its status says that it had got far."""
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await stage.kill()
    known = {
        "progress": 63,
        "rows": {"read": 30, "received": 30, "written": 15},
        "bytes": {"read": 1000, "sent": 500, "spilled": 7, "written": 15},
        "failures": 1,
        "disruptions": 2,
    }
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"status": known | status}, status=True)


def end_pod(stage: Stage, name: str, code: int) -> None:
    state = {"terminated": {"exitCode": code, "reason": "Error", "message": "the last line"}}
    stage.kube.set_pod_status(NAMESPACE, name, phase="Failed", containerStatuses=[{"name": "worker", "state": state}])


async def test_counters_survive_when_operator_and_workers_go_at_once(stage: Stage, puppets: Puppets) -> None:
    await half_way(stage, puppets)
    for name in list(stage.pods()):
        await stage.kube.delete(PODS, NAMESPACE, name)
    await stage.until(lambda: not stage.pods())
    seen: list[dict[str, Any]] = []
    stage.kube.listeners.append(lambda _kind, kind, body: seen.append(body["status"]) if kind == JOBS else None)
    await stage.start(kubelet=False)
    await stage.until(lambda: stage.status()["workers"]["lost"] == 2)
    assert stage.status()["workers"]["replaced"] == 2
    assert (stage.status()["failures"], stage.status()["disruptions"]) == (1, 4)
    taken = said(stage, "TakenOver")
    assert len(taken) == 1
    assert "took it over at 63 %: none of its workers is there" in taken[0]
    assert any("took the job over at 63 %" in status["message"] for status in seen)
    puppets.hold.set()
    await until_phase(stage, "Complete")
    assert stage.status()["bytes"]["read"] >= 1000
    assert stage.status()["bytes"]["spilled"] == 7
    counted = stage.operator.metrics.page().decode() if stage.operator is not None else ""
    for line in (
        'bytes_total{kind="read"} 0.0',
        'bytes_total{kind="spilled"} 0.0',
        'workers_lost_total{kind="disruption"} 2.0',
    ):
        assert f"shuffle_{line}\n" in counted, "what earlier operators counted is not counted again"
    for before, after in itertools.pairwise(seen):
        if after["progress"] < before["progress"]:
            assert "before a new operator took the job over" in after["message"]


async def test_bytes_that_are_read_again_are_explained_at_0_percent_too(stage: Stage, puppets: Puppets) -> None:
    """As where the last thing that the operator before saw was a worker that left with all that it held."""
    await half_way(stage, puppets, progress=0, bytes={"read": 40_580_000, "sent": 500, "spilled": 7, "written": 0})
    for name in list(stage.pods()):
        await stage.kube.delete(PODS, NAMESPACE, name)
    await stage.until(lambda: not stage.pods())
    seen: list[str] = []
    stage.kube.listeners.append(
        lambda _kind, kind, body: seen.append(body["status"]["message"]) if kind == JOBS else None
    )
    await stage.start(kubelet=False)
    await stage.until(lambda: stage.status()["workers"]["lost"] == 2)
    puppets.hold.set()
    await until_phase(stage, "Complete")
    told = [said for said in seen if said.startswith("Transferring: ") and " splits, " in said]
    assert told, seen
    assert all("; 38.7 MiB had been read before a new operator took the job over" in said for said in told), told


async def test_workers_that_went_meanwhile_are_counted_by_how_they_ended(stage: Stage, puppets: Puppets) -> None:
    await half_way(stage, puppets)
    puppets.cancel("sorted-w-0-0")
    end_pod(stage, "sorted-w-0-0", 139)
    await stage.start(kubelet=False)
    await stage.until(lambda: stage.status()["workers"]["lost"] == 1)
    assert (stage.status()["failures"], stage.status()["disruptions"]) == (2, 2)
    assert stage.status()["lastFailure"]["pod"] == "sorted-w-0-0"
    assert stage.status()["lastFailure"]["exitCode"] == 139
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_nobody_is_counted_where_all_are_there(stage: Stage, puppets: Puppets) -> None:
    await half_way(stage, puppets)
    await stage.start(kubelet=False)
    await stage.until(lambda: said(stage, "TakenOver") != [])
    assert "for the 2 workers there to say what they hold" in said(stage, "TakenOver")[0]
    assert "waits up to 1 s" in said(stage, "TakenOver")[0]
    await stage.until(lambda: "waits up to 1 s for its 2 workers to report" in stage.status()["message"])
    assert stage.status()["workers"]["lost"] == 0
    assert stage.status()["disruptions"] == 2
    assert stage.status()["progress"] == 63  # as far as is known
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_losses_of_before_count_towards_the_limits(stage: Stage, puppets: Puppets) -> None:
    await half_way(stage, puppets, failures=3)
    puppets.cancel("sorted-w-0-0")
    end_pod(stage, "sorted-w-0-0", 1)
    await stage.start(kubelet=False)
    puppets.hold.set()
    await until_phase(stage, "Failed")
    assert stage.status()["message"].startswith("BackoffLimitExceeded: 4 workers failed (backoffLimit 3)")


# -- falling back ----------------------------------------------------------------------------------------------------


def test_a_setback_is_told_until_it_is_made_up_for() -> None:
    setback = Setback()
    setback.follow(63.0)
    assert setback.sentence == ""
    setback.cause = "worker 2 was lost: it was not heard of for 15 s"
    setback.follow(11.0)
    assert setback.sentence == "; it was at 63 % before worker 2 was lost: it was not heard of for 15 s"
    setback.follow(40.0)
    setback.cause = "worker 1 was lost: its pod was deleted"
    setback.follow(20.0)
    assert setback.sentence == "; it was at 63 % before worker 1 was lost: its pod was deleted"
    setback.follow(64.0)
    assert setback.sentence == ""


def test_a_setback_without_a_cause_is_told_all_the_same() -> None:
    setback = Setback()
    setback.follow(63.0)
    setback.follow(11.0)
    assert "before work that was done had to be done again" in setback.sentence


def test_what_came_before_is_an_event() -> None:
    machine = Coordinator(message(), generation=1)
    assert machine.handle(Restored(Earlier(1, 2, 3, 4, 100, 50, 7, 63.0, 0)), 0.0) == []
    machine.handle(Started(), 0.0)
    assert machine.state.percent == 63.0
    assert (
        machine.state.losses.failures,
        machine.state.losses.disruptions,
        machine.state.lost,
        machine.state.replaced,
    ) == (1, 2, 3, 4)
    notes = machine.handle(WorkerMissed(0, "its pod went", fault=False), 0.0)
    assert [getattr(note, "reason", "") for note in notes] == ["WorkerLost"]
    assert (machine.state.losses.disruptions, machine.state.lost, machine.state.replaced) == (3, 4, 5)


@pytest.mark.parametrize("members", [False, True])
def test_who_waits_for_a_turn_has_all_the_time_to_start(members: bool) -> None:
    machine = Coordinator(message())
    machine.handle(Started(), 0.0)
    if not members:
        machine.handle(HeldUp(), 1000.0)
    machine.handle(Tick(), 1001.0)
    assert (machine.state.cause is None) == (not members)


@pytest.mark.parametrize(
    ("generation", "at_first", "later", "spilled"),
    [(0, 0, 50, 50), (0, 40, 50, 50), (1, 50, 50, 100), (1, 50, 80, 130), (1, 0, 30, 130)],
)
@pytest.mark.parametrize("lost", [False, True])
def test_what_survivors_spilled_before_is_counted_once(
    generation: int, at_first: int, later: int, spilled: int, lost: bool
) -> None:
    """The job's status has it already. Workers that are lost count as those that are there."""
    p = Play(Coordinator(message(1), Settings(), generation))
    p.machine.handle(Restored(Earlier(bytes_spilled=100 if generation else 0, workers=1)), 0.0)
    p.machine.handle(Started(), 0.0)
    survivor = p.worker(0)
    survivor.register()
    for counted in (at_first, later):
        survivor.counters = Counters(spilled=counted)
        survivor.sync(free=0)
    if lost:
        p.machine.handle(WorkerGone(0, survivor.incarnation, "its pod went", False), 0.0)
    assert snapshot(p.state, 0.0).bytes_spilled == spilled
