"""The state machine alone: what it answers, when it moves on, what it does when something is lost, late or doubled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shuffle_operator.coordinator.actions import StopWorker
from shuffle_operator.coordinator.events import Cancelled, Restored, Started, Tick, WorkerGone
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.phases import TRANSITIONS
from shuffle_protocol.messages import VERSION, Done, Failure, LeaseId, LeaseKind, Phase, Transferred
from tests.coordinator.builders import Play, Puppet, held_by, job, play, transferring


def run_to_the_end(play_: Play, puppets: list[Puppet]) -> None:
    for _ in range(100):
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None:
                rows = 10 if lease.kind in (LeaseKind.TRANSFER, LeaseKind.WRITE) else 0
                puppet.finish(lease, rows)
        if play_.state.over:
            return


def test_a_job_runs_from_pending_to_complete() -> None:
    p, puppets = transferring()
    assert p.state.phase is Phase.TRANSFERRING
    run_to_the_end(p, puppets)
    assert p.state.phase is Phase.COMPLETE
    assert p.notes() == ["Planning", "Transferring", "Writing", "Committing", "Complete"]


def test_workers_are_asked_for_once() -> None:
    p = play(3)
    p.did(p.machine.handle(Started(), 0.0))
    assert p.started() == [0, 1, 2]


def test_groups_are_shared_out_evenly_once_all_are_there() -> None:
    _, (one, two) = transferring()
    one.sync()
    assert one.owner == [0, 0, 1, 1]
    two.sync()
    assert two.view == one.view


def test_groups_are_shared_out_among_those_who_came_in_time() -> None:
    p = play(3, patience=5.0)
    one = p.worker(0)
    one.register()
    lease = one.ask()
    assert lease is not None
    one.finish(lease)
    assert one.ask() is None
    p.later(6.0)
    lease = one.ask()
    assert lease is not None
    assert lease.kind is LeaseKind.TRANSFER
    assert one.owner == [0, 0, 0, 0]


def test_nobody_writes_before_the_barrier() -> None:
    p, (one, two) = transferring()
    leases = [one.ask(), two.ask()]
    for _ in range(2):
        for puppet, lease in zip((one, two), leases, strict=True):
            assert lease is not None
            assert lease.kind is LeaseKind.TRANSFER
            puppet.finish(lease)
        leases = [one.ask(), two.ask()]
    assert p.state.phase is Phase.WRITING
    assert all(lease is not None and lease.kind is LeaseKind.WRITE for lease in leases)


def test_an_answer_that_was_lost_is_given_again() -> None:
    _, (one, _two) = transferring()
    one.sync()
    first = one.sync().leases
    one.holding = []  # the answer never arrived
    assert one.sync(free=0).leases == first


def test_a_result_that_is_told_twice_counts_once() -> None:
    p, (one, _two) = transferring()
    lease = one.ask()
    assert lease is not None
    done = Done(lease, rows_read=10, rows_moved=10)
    assert one.sync([done]).acknowledged == [lease]
    assert one.sync([done]).acknowledged == [lease]
    assert p.state.ledger is not None
    assert p.state.ledger.facts.totals.rows_read == 10


def test_a_lost_owner_costs_its_groups_and_no_others() -> None:
    p, (one, two) = transferring()
    for _ in range(2):
        for puppet in (one, two):
            lease = puppet.ask()
            assert lease is not None
            puppet.finish(lease)
    assert p.state.phase is Phase.WRITING
    lease = one.ask()
    assert lease is not None
    one.finish(lease)
    p.did(p.machine.handle(WorkerGone(1, "w1", "killed", False), p.now))
    assert p.state.phase is Phase.TRANSFERRING
    ledger = p.state.ledger
    assert ledger is not None
    assert ledger.facts.groups_written == 1
    one.sync()
    assert one.owner == [0, 0, 0, 0]
    kept, lost = one.tranche[1], one.tranche[2]
    assert one.tranche == [kept, kept, lost, lost]
    assert kept != lost
    redone: list[LeaseId] = []
    while (lease := one.ask()) is not None and p.state.phase is Phase.TRANSFERRING:
        if lease.kind is LeaseKind.TRANSFER:
            redone.append(lease)
        one.finish(lease)
    assert {lease.tranche for lease in redone} == {lost}
    assert sorted(lease.item for lease in redone) == [0, 1, 2, 3]


def test_a_replacement_takes_groups_for_which_nothing_was_sent() -> None:
    p, (one, two) = transferring()
    one.ask()
    two.ask()
    p.did(p.machine.handle(WorkerGone(1, "w1", "killed", False), p.now))
    new = p.worker(1, "second")
    new.register()
    new.sync()
    assert new.owner.count(1) == 2


def test_a_silent_worker_is_lost_and_a_zombie_is_told_so() -> None:
    p, (one, two) = transferring(silence=15.0)
    lease = two.ask()
    assert lease is not None
    p.now += 16.0
    one.sync()
    p.did(p.machine.handle(Tick(), p.now))
    assert StopWorker(1, now=True) in p.actions
    assert 1 not in p.state.members
    orders = two.sync([Done(lease, rows_read=10)])
    assert not orders.known
    assert p.state.ledger is not None
    assert p.state.ledger.facts.totals.rows_read == 0


def test_a_process_that_takes_the_place_of_another_ends_it() -> None:
    p, (_one, two) = transferring()
    two.ask()
    p.worker(1, "second").register()
    assert not two.sync().known
    assert p.state.lost == 1
    refused = two.register()
    assert not refused.accepted  # else the two would put each other out for ever
    assert "given to others" in refused.message
    assert p.state.members[1].incarnation == "second"


def test_another_version_is_refused_with_both_named() -> None:
    reply = play().worker(0).register(version=99)
    assert not reply.accepted
    assert "99" in reply.message
    assert f"version {VERSION}" in reply.message


def test_a_data_error_fails_the_job_and_the_abort_waits_for_writers() -> None:
    p, (one, two) = transferring()
    lease, other = one.ask(), two.ask()
    assert lease is not None
    assert other is not None
    one.sync(failed=[Failure(lease, "DataError", "part-1.parquet is corrupt")], free=0)
    assert p.state.phase is Phase.TRANSFERRING
    assert one.sync().leases == []  # two still holds a lease
    assert two.sync().leases == []  # it is taken away; now it holds none
    two.holding = []
    two.sync()
    abort = one.ask() or two.ask()
    assert abort is not None
    assert abort.kind is LeaseKind.ABORT
    (one if one.holding else two).finish(abort)
    assert p.state.phase is Phase.FAILED
    assert p.state.cause is not None
    assert p.state.cause.reason == "DataError"
    assert p.state.cause.message == "part-1.parquet is corrupt"


def test_a_writer_that_does_not_let_go_is_not_waited_for_and_does_not_get_the_abort() -> None:
    """It is let go by its own report, where nobody asked before, and what that answers must not be work."""
    p, (one, two) = transferring(stop_grace=10.0)
    lease, other = one.ask(), two.ask()
    assert lease is not None
    assert other is not None
    one.sync(failed=[Failure(lease, "DataError", "part-1.parquet is corrupt")], free=0)
    p.now += 11.0
    two.holding = [other]
    orders = two.sync()
    assert not orders.known
    assert orders.leases == []
    abort = one.ask()
    assert abort is not None
    assert abort.kind is LeaseKind.ABORT
    one.finish(abort)
    assert p.state.phase is Phase.FAILED
    assert not p.state.left_behind


def test_a_failure_that_a_retry_may_mend_is_tried_again_so_often() -> None:
    p, (one, _two) = transferring(lease_attempts=3)
    for attempt in range(3):
        lease = one.ask()
        assert lease is not None
        assert (lease.item, lease.attempt) == (0, attempt)
        one.sync(failed=[Failure(lease, "StorageUnavailable", "503", retry=True)], free=0)
    assert p.state.cause is not None
    assert p.state.cause.reason == "StorageUnavailable"


def test_a_refusal_while_planning_needs_no_abort() -> None:
    p = play(1)
    one = p.worker(0)
    one.register()
    lease = one.ask()
    assert lease is not None
    one.sync(failed=[Failure(lease, "InputNotFound", "nothing there", refusal=True)])
    assert p.state.phase is Phase.FAILED
    assert p.state.cause is not None
    assert p.state.cause.refusal


def test_the_job_fails_when_its_workers_keep_failing() -> None:
    p = play(1, backoff_limit=2, abort_deadline=5.0)
    for n in range(3):
        puppet = p.worker(0, f"i{n}")
        puppet.register()
        p.did(p.machine.handle(WorkerGone(0, f"i{n}", "exit code 1: no such module", True), p.now))
    p.later(6.0)
    assert p.state.phase is Phase.FAILED
    assert p.state.cause is not None
    assert p.state.cause.reason == "BackoffLimitExceeded"
    assert "no such module" in p.state.cause.message


def test_workers_that_never_start_fail_the_job() -> None:
    p = play(1, startup_deadline=60.0, abort_deadline=5.0)
    p.later(61.0)
    p.later(6.0)
    assert p.state.cause is not None
    assert p.state.cause.reason == "StartupDeadlineExceeded"
    assert p.state.phase is Phase.FAILED


def test_rows_that_do_not_add_up_are_not_committed() -> None:
    p, puppets = transferring(workers=1)
    one = puppets[0]
    while p.state.cause is None:
        lease = one.ask()
        assert lease is not None
        assert lease.kind is not LeaseKind.COMMIT
        one.finish(lease, 10 if lease.kind is LeaseKind.TRANSFER else 9)
    assert "40 rows were read" in p.state.cause.message


def test_an_input_that_reads_differently_the_second_time_fails_the_job() -> None:
    p, (one, two) = transferring()
    lease = one.ask()
    assert lease is not None
    one.finish(lease, rows=10)
    p.did(p.machine.handle(WorkerGone(1, two.incarnation, "killed", False), p.now))
    for _ in range(8):
        lease = one.ask()
        if lease is None or p.state.cause is not None:
            break
        one.finish(lease, rows=11 if lease.item == 0 else 10)
    assert p.state.cause is not None
    assert p.state.cause.reason == "DataError"


def test_what_was_over_stays_over() -> None:
    p, puppets = transferring()
    run_to_the_end(p, puppets)
    p.did(p.machine.handle(Cancelled("Cancelled", "too late"), p.now))
    p.later(10_000.0)
    assert p.state.phase is Phase.COMPLETE
    assert puppets[0].sync().stop
    assert not p.worker(0, "late").register().accepted


def test_a_coordinator_that_lost_its_memory_goes_on_where_it_was() -> None:
    _, (one, two) = transferring()
    leases = [one.ask(), two.ask()]
    for puppet, lease in zip((one, two), leases, strict=True):
        assert lease is not None
        puppet.finish(lease)
    assert one.view is not None
    tranche = one.tranche[0]
    again = Play(Coordinator(job(), generation=1))
    again.machine.handle(Restored(survivors=True), 0.0)
    again.did(again.machine.handle(Started(), 0.0))
    for number, (puppet, lease) in enumerate(zip((one, two), leases, strict=True)):
        assert lease is not None
        puppet.play = again
        puppet.epoch = -1
        held = held_by(puppet, [Transferred(tranche, lease.item, 0, 10)])
        assert puppet.register(held=held).accepted
        assert again.state.phase is (Phase.PENDING, Phase.TRANSFERRING)[number]
    due = set()
    for puppet in (one, two):
        lease = puppet.ask()
        assert lease is not None
        assert lease.attempt > 0
        due.add(lease.item)
    assert due == {2, 3}
    assert one.tranche == [tranche] * 4
    run_to_the_end(again, [one, two])
    assert again.state.phase is Phase.COMPLETE


@pytest.mark.parametrize("reported", ["while survivors are awaited", "when it goes on"])
def test_a_write_that_was_begun_under_a_lost_coordinator_counts(reported: str) -> None:
    """Its worker has dropped the shards: to hand the group over, or have it written elsewhere, would lose its rows."""
    _, (one, two) = transferring()
    transfers: list[LeaseId] = []
    while len(transfers) < 4:
        for puppet in (one, two):
            lease = puppet.ask()
            if lease is not None and lease.kind is LeaseKind.TRANSFER:
                transfers.append(lease)
                puppet.finish(lease)
    write = one.ask()
    assert write is not None
    assert write.kind is LeaseKind.WRITE
    assert one.view is not None
    held = held_by(one, [Transferred(one.tranche[0], lease.item, 0, 10) for lease in transfers])
    again = Play(Coordinator(job(), generation=1))
    again.machine.handle(Restored(survivors=True), 0.0)
    again.did(again.machine.handle(Started(), 0.0))
    for puppet in (one, two):
        puppet.play, puppet.epoch, puppet.holding = again, -1, []
    done = Done(write, rows_moved=10, rows_written=10, bytes_written=10, files=1)
    one.register(held=held)
    if reported == "while survivors are awaited":
        assert write in one.sync([done]).acknowledged
        assert again.state.ledger is None
    two.register(held=held)
    if reported == "when it goes on":
        assert write in one.sync([done]).acknowledged
    assert again.state.ledger is not None
    assert again.state.ledger.facts.written[write.item]
    assert again.notes().count("Resumed") == 1
    given: list[LeaseId] = []
    while not again.state.over:
        for puppet in (one, two):
            lease = puppet.ask()
            if lease is not None:
                given.append(lease)
                puppet.finish(lease)
    assert again.state.phase is Phase.COMPLETE
    assert sorted(lease.item for lease in given if lease.kind is LeaseKind.WRITE) == [
        g for g in range(4) if g != write.item
    ]
    assert again.state.ledger.facts.totals.rows_written == 40


def test_a_write_of_no_group_counts_for_nothing() -> None:
    p, (one, _) = transferring(generation=1)
    one.sync([Done(LeaseId(LeaseKind.WRITE, 0, 1000, 0), rows_written=10), Done(LeaseId(LeaseKind.WRITE, 0, -1, 0))])
    assert p.state.ledger is not None
    assert p.state.ledger.facts.groups_written == 0


@pytest.mark.parametrize("phase", list(TRANSITIONS))
def test_the_picture_in_the_docs_is_the_code(phase: Phase) -> None:
    text = Path("docs/coordinator.md").read_text()
    drawn = {(a, b) for a, b in re.findall(r"^\s*(\w+) --> (\w+)", text, re.MULTILINE)}
    assert {b for a, b in drawn if a == phase} == set(TRANSITIONS[phase])
