"""Several workers in one pod: they start together, and are lost together, which is one loss."""

from __future__ import annotations

import msgspec

from shuffle_operator.coordinator.actions import StopWorker
from shuffle_operator.coordinator.events import Resized, Restored, Started, WorkerGone
from shuffle_operator.coordinator.size import workers_for
from shuffle_protocol.messages import LeaseKind, PlanSummary
from tests.coordinator.builders import Play, Puppet, held_by, job, play, summary, transferring


def stopped(p: Play) -> list[int]:
    return [action.worker for action in p.actions if isinstance(action, StopWorker)]


def gone(p: Play, worker: int, pod: str | None, why: str = "it was killed", **how: bool) -> None:
    p.did(p.machine.handle(WorkerGone(worker, pod, why, how.pop("fault", False), **how), p.now))


def all_know(puppets: list[Puppet]) -> None:
    for puppet in puppets:
        puppet.sync()


def test_a_pod_is_asked_for_once_and_its_workers_come_one_by_one() -> None:
    p = play(4, per_pod=2)
    assert p.started() == [0, 2]
    assert set(p.state.starting) == {0, 1, 2, 3}
    p.worker(3, "p1.1").register()
    assert set(p.state.starting) == {0, 1, 2}


def test_a_pod_that_is_lost_is_one_loss_of_all_its_workers() -> None:
    p, puppets = transferring(4, per_pod=2)
    all_know(puppets)
    assert set(puppets[0].owner) == {0, 1, 2, 3}
    epoch = p.state.epoch
    p.actions.clear()
    gone(p, 2, "p1")
    assert set(p.state.members) == {0, 1}
    assert p.started() == [2]
    assert (p.state.lost, p.state.replaced) == (2, 2)
    assert (p.state.losses.failures, p.state.losses.disruptions) == (0, 1)
    assert p.notes().count("WorkerLost") == 2
    assert p.state.epoch == epoch + 1
    all_know(puppets[:2])
    assert set(puppets[0].owner) == {0, 1}


def test_who_is_to_blame_is_one_of_them() -> None:
    p, puppets = transferring(4, per_pod=2)
    all_know(puppets)
    mine, others = puppets[3].ask(), puppets[2].ask()
    assert mine is not None
    assert others is not None
    gone(p, 3, "p1", "its process crashed (SIGSEGV)", fault=True, crashed=True)
    assert (p.state.losses.failures, p.state.losses.disruptions) == (1, 0)
    assert p.state.crashes.suspect(mine)
    assert not p.state.crashes.suspect(others)
    assert p.state.last_failure is not None
    assert p.state.last_failure.worker == 3
    messages = [action.message for action in p.actions if getattr(action, "reason", "") == "WorkerLost"]
    assert messages[0].startswith("worker 2 was lost: worker 3 of its pod failed: its process crashed (SIGSEGV)")
    assert messages[1].startswith("worker 3 was lost: its process crashed (SIGSEGV)")


def test_a_pod_of_which_some_had_not_come_is_lost_whole() -> None:
    p = play(4, per_pod=2)
    p.worker(0, "p0.0").register()
    p.worker(2, "p1.0").register()
    p.actions.clear()
    gone(p, 0, "p0")
    assert p.started() == [0]
    assert set(p.state.starting) == {0, 1, 3}
    assert p.state.losses.disruptions == 1
    gone(p, 0, None, "its image cannot be pulled", fault=True)
    assert p.state.losses.failures == 1
    assert p.started() == [0, 0]


def test_late_news_of_a_pod_that_was_replaced_is_of_no_use() -> None:
    p, _ = transferring(4, per_pod=2)
    gone(p, 2, "p1")
    p.worker(2, "p7.0").register()
    p.actions.clear()
    gone(p, 3, "p1")
    assert p.started() == []
    assert set(p.state.members) == {0, 1, 2}
    assert p.state.losses.disruptions == 1


def test_a_silent_worker_is_replaced_with_its_pod() -> None:
    p, puppets = transferring(4, per_pod=2, silence=10.0)
    p.now = 8.0
    for puppet in puppets[:3]:
        puppet.sync()
    p.actions.clear()
    p.later(4.0)
    assert stopped(p) == [3]
    assert p.started() == [2]
    assert set(p.state.members) == {0, 1}
    assert p.state.losses.disruptions == 1
    p.later(20.0)  # now nobody is heard of: two pods, two losses
    assert p.state.losses.disruptions == 2


def test_a_pod_that_is_asked_to_go_takes_nothing_from_itself_and_goes_as_one() -> None:
    p, puppets = transferring(4, per_pod=2)
    all_know(puppets)
    lease = puppets[3].ask()
    assert lease is not None
    assert not puppets[2].sync(leaving=True).released
    puppets[3].sync()
    all_know(puppets[:2])
    assert set(puppets[0].owner) <= {0, 1}  # the other worker of the pod gets none of it
    assert p.state.members[3].leaving
    assert not puppets[2].sync(leaving=True).released  # the other one has work in hand
    puppets[3].finish(lease)
    assert puppets[3].sync(leaving=True).released
    assert puppets[2].sync(leaving=True).released
    gone(p, 2, "p1")
    assert (p.state.lost, p.state.losses.disruptions) == (0, 0)
    assert p.started()[-1] == 2


def test_a_pod_too_many_is_stopped_when_none_of_its_workers_is_needed() -> None:
    p, puppets = transferring(4, per_pod=2)
    all_know(puppets)
    lease = puppets[2].ask()
    assert lease is not None
    p.actions.clear()
    p.did(p.machine.handle(Resized(2), p.now))
    puppets[3].sync()
    assert stopped(p) == []
    puppets[2].finish(lease)
    puppets[2].sync()
    p.later(1.0)
    assert stopped(p) == [2]
    assert [puppets[2].sync().stop, puppets[3].sync().stop] == [True, True]
    gone(p, 2, "p1")
    assert p.started() == []
    assert (p.state.lost, p.state.losses.disruptions) == (0, 0)


def test_another_pod_is_asked_for_once() -> None:
    p, _ = transferring(4, per_pod=2)
    p.actions.clear()
    p.did(p.machine.handle(Resized(8), p.now))
    assert p.started() == [4, 6]


def test_a_worker_that_does_not_come_back_to_a_new_coordinator_is_replaced_with_its_pod() -> None:
    before, puppets = transferring(4, per_pod=2)
    all_know(puppets)
    p = play(4, generation=1, per_pod=2, absent=30.0, silence=60.0)
    p.did(p.machine.handle(Restored(survivors=True), p.now))
    p.did(p.machine.handle(Started(), p.now))
    for puppet in puppets[:3]:
        puppet.play = p
        assert puppet.register(held=held_by(puppet)).accepted
    p.actions.clear()
    p.later(31.0)
    assert stopped(p) == [3]
    assert p.started() == [2]
    assert set(p.state.members) == {0, 1}
    assert p.state.losses.disruptions == 1
    assert before.state.losses.disruptions == 0


def test_a_job_grows_by_whole_pods() -> None:
    body = msgspec.structs.replace(job(4, per_pod=4), most_workers=16)
    plan: PlanSummary = msgspec.structs.replace(summary(), scratch_needed=700 << 20, group_partitions=[1] * 64)
    wanted = workers_for(body, plan)
    assert wanted == 12
    one = msgspec.structs.replace(job(4), most_workers=16)
    assert workers_for(one, plan) == 10


def test_the_plan_is_made_once_however_many_run_in_a_pod() -> None:
    p, puppets = transferring(4, per_pod=4)
    assert p.state.summary is not None
    kinds = [lease.kind for puppet in puppets if (lease := puppet.ask()) is not None]
    assert kinds == [LeaseKind.TRANSFER] * 4
