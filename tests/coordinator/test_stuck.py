"""Workers that answer and are of no use: they are replaced, or the job says why it cannot go on. Each was a run of the
simulation that never ended."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import StartWorker, StopWorker
from shuffle_operator.coordinator.events import Resized, Restored, Started, WorkerGone
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import Counters, Phase
from tests.coordinator.builders import Play, Puppet, held_by, job, transferring

STALL = Settings().owner_stall


def wait(p: Play, puppets: list[Puppet], seconds: float) -> None:
    """They report every five seconds, and take no work."""
    for _ in range(int(seconds / 5)):
        p.later(5.0)
        for puppet in puppets:
            puppet.sync(free=0)


def replaced(p: Play) -> list[int]:
    return [action.worker for action in p.actions if isinstance(action, StopWorker) and action.now]


def test_an_owner_that_stores_nothing_is_replaced_though_it_holds_no_lease() -> None:
    p, puppets = transferring()
    puppets[1].counters = Counters(storing=1, stored_calls=7)
    wait(p, puppets, STALL)
    assert replaced(p) == []
    wait(p, puppets, 10.0)
    assert replaced(p) == [1]
    assert p.state.lost == 1


def test_an_owner_that_is_slow_to_store_is_not() -> None:
    p, puppets = transferring()
    for calls in range(5):
        puppets[1].counters = Counters(storing=1, stored_calls=calls)
        wait(p, puppets, STALL - 10.0)
    assert replaced(p) == []


def test_an_idle_store_is_not_a_stuck_one() -> None:
    p, puppets = transferring()
    wait(p, puppets, 3 * STALL)
    assert replaced(p) == []


def test_a_worker_that_does_not_take_its_view_is_replaced() -> None:
    p, (one, two) = transferring()
    for _ in range(int(STALL / 5) + 2):
        p.later(5.0)
        one.sync(free=0)
        two.sync(free=0)
        two.epoch = -1  # as while it loads the plan
    assert replaced(p) == [1]


def test_a_worker_that_waits_for_a_store_is_not_stuck() -> None:
    """It holds a lease, or loads the plan; a store may be away for longer than either may take."""
    p, (one, two) = transferring()
    one.ask()
    one.waiting_reason = two.waiting_reason = "reading s3://bucket/a: the store does not answer"
    for _ in range(int(2 * Settings().stall / 5)):
        p.later(5.0)
        one.sync(free=0)
        two.sync(free=0)
        two.epoch = -1
    assert replaced(p) == []
    two.waiting_reason = ""  # from here on it has as long as any other
    for step in range(int(STALL / 5) + 3):
        assert step * 5 > STALL - 5 or replaced(p) == []
        p.later(5.0)
        one.sync(free=0)
        two.sync(free=0)
        two.epoch = -1
    assert replaced(p) == [1]


def test_groups_of_a_lost_owner_that_nobody_has_room_for_fail_the_job() -> None:
    p, (one, two) = transferring()
    wait(p, [one, two], 5.0)
    one.full = "no room left"
    one.sync()
    assert one.view is not None
    p.did(p.machine.handle(Resized(1), p.now))  # the other one hands over what it owns, and nobody can have it
    assert not p.state.over
    p.did(p.machine.handle(WorkerGone(1, two.incarnation, "killed", False), p.now))
    assert p.state.cause is not None
    assert (p.state.cause.reason, p.state.cause.message) == ("OutOfDisk", "no room left")


def test_nothing_fails_while_another_worker_is_started() -> None:
    p, (one, two) = transferring()
    wait(p, [one, two], 5.0)
    one.full = "no room left"
    one.sync()
    p.did(p.machine.handle(WorkerGone(1, two.incarnation, "killed", False), p.now))
    assert p.state.cause is None
    late = p.worker(1, "late")
    late.register()
    late.sync()
    assert late.view is not None
    assert p.state.ledger is not None
    assert p.state.ledger.facts.owner == [1] * 4


def test_who_does_not_come_back_to_the_next_coordinator_is_replaced() -> None:
    _, (one, _two) = transferring()
    one.sync()
    assert one.view is not None
    again = Play(Coordinator(job(), generation=1))
    again.machine.handle(Restored(survivors=True), 0.0)
    again.did(again.machine.handle(Started(), 0.0))
    one.play, one.epoch = again, -1
    assert one.register(held=held_by(one)).accepted
    wait(again, [one], Settings().absent)
    assert replaced(again) == []
    again.actions.clear()
    wait(again, [one], 10.0)
    assert replaced(again) == [1]
    assert [a.worker for a in again.actions if isinstance(a, StartWorker)] == [1]
    wait(again, [one], 2 * Settings().absent)
    assert replaced(again) == [1]
    assert again.state.phase is Phase.TRANSFERRING


def test_what_was_left_behind_is_not_called_nothing() -> None:
    p, (one, two) = transferring()
    wait(p, [one, two], 5.0)
    one.full = "no room left"
    one.sync()
    p.did(p.machine.handle(Resized(1), p.now))
    wait(p, [one, two], Settings().drain + 10.0)  # nobody can have what it owns
    assert "WorkerLeft" not in p.notes()
    assert "WorkerLost" in p.notes()
