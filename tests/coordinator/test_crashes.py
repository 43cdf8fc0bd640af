"""Workers that crash by themselves: what they had in hand is suspected, tried alone, and ends the job in the end."""

from __future__ import annotations

import pytest

from shuffle_operator.coordinator.events import WorkerGone
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import Done, LeaseId, LeaseKind, Phase
from tests.coordinator.builders import Play, Puppet, play, transferring

WHY = "its process crashed (SIGABRT) while reading /in/bad.parquet"
ATTEMPTS = Settings().crash_attempts


def crash(p: Play, puppet: Puppet, why: str = WHY) -> None:
    p.did(p.machine.handle(WorkerGone(puppet.number, puppet.incarnation, why, True, crashed=True), p.now))


def again(p: Play, puppet: Puppet) -> Puppet:
    """Its successor, registered, with the newest view."""
    number = int(puppet.incarnation.rpartition(".")[2]) if "." in puppet.incarnation else 0
    successor = p.worker(puppet.number, f"w{puppet.number}.{number + 1}")
    assert successor.register().accepted
    p.later(1.5)
    successor.sync(free=0)
    successor.sync(free=0)
    return successor


def reads(orders_leases: list[LeaseId]) -> list[int]:
    return [lease.item for lease in orders_leases if lease.kind is LeaseKind.TRANSFER]


def settle(p: Play, puppets: list[Puppet]) -> None:
    """Views are exchanged, nothing is given out."""
    for _ in range(3):
        p.later(1.0)
        for puppet in puppets:
            puppet.sync(free=0)


def test_a_split_that_every_worker_crashes_over_fails_the_job_by_its_name() -> None:
    p, (one, two) = transferring(backoff_limit=50)
    settle(p, [one, two])
    worker = one
    bad = reads([lease.id for lease in worker.sync(free=2).leases])[0]
    crashed = 0
    for _ in range(20):
        if p.state.cause is not None:
            break
        if bad in reads([lease.id for lease in worker.leases]):
            crashed += 1
            crash(p, worker)
            if p.state.cause is None:
                worker = again(p, worker)
                worker.sync(free=2)
        else:
            worker.finish(worker.leases[0].id)
            worker.sync(free=2)
    assert crashed == ATTEMPTS
    cause = p.state.cause
    assert (cause.reason, cause.refusal) == ("DataError", False)
    assert WHY in cause.message


def test_a_suspect_is_given_out_alone_and_the_innocent_are_cleared() -> None:
    p, (one, two) = transferring(backoff_limit=50)
    settle(p, [one, two])
    first, second = reads([lease.id for lease in one.sync(free=2).leases])
    other = two.ask()
    assert other is not None
    crash(p, one)
    one = again(p, one)
    two.sync(free=0)
    two.sync(free=0)
    assert reads([lease.id for lease in two.sync(free=2).leases]) == [other.item], "who has work waits to be free"
    mine = reads([lease.id for lease in one.sync(free=2).leases])
    assert len(mine) == 1
    assert mine[0] in (first, second)
    assert reads([lease.id for lease in one.sync(free=2).leases]) == mine, "and gets nothing beside it"
    one.finish(one.leases[0].id)
    assert not p.state.crashes.suspect(LeaseId(LeaseKind.TRANSFER, 0, mine[0], 0))
    (rest,) = {first, second} - set(mine)
    assert p.state.crashes.times == {(LeaseKind.TRANSFER, rest): 1}


def test_a_job_goes_on_where_a_worker_crashed_once() -> None:
    p, (one, two) = transferring()
    settle(p, [one, two])
    assert one.ask() is not None
    crash(p, one)
    one = again(p, one)
    for _ in range(60):
        if p.state.over:
            break
        p.later(1.0)
        for puppet in (one, two):
            puppet.sync(free=2)
            for lease in list(puppet.leases):
                if lease.id.kind is LeaseKind.COMMIT:
                    puppet.sync([Done(lease.id, output={})])
                else:
                    puppet.finish(lease.id)
    assert p.state.phase is Phase.COMPLETE
    assert p.state.crashes.times == {}


def test_a_plan_that_crashes_its_workers_is_refused() -> None:
    p = play(2, backoff_limit=50)
    two = p.worker(1)
    two.register()
    worker = p.worker(0)
    worker.register()
    two.sync(free=0)
    for n in range(ATTEMPTS):
        lease = worker.ask()
        assert lease is not None
        assert lease.kind is LeaseKind.PLAN
        crash(p, worker)
        if n < ATTEMPTS - 1:
            assert p.state.cause is None
            worker = again(p, worker)
    assert p.state.phase is Phase.FAILED
    cause = p.state.cause
    assert cause is not None
    assert (cause.reason, cause.refusal) == ("DataError", True)
    assert "/in/bad.parquet" in cause.message
    assert "made the plan" in cause.message


def test_workers_that_are_killed_are_no_suspects() -> None:
    p, (one, two) = transferring()
    settle(p, [one, two])
    assert one.ask() is not None
    p.did(p.machine.handle(WorkerGone(0, one.incarnation, "its process was ended by SIGKILL", False), p.now))
    assert p.state.crashes.times == {}
    assert p.state.losses.failures == 0


def test_workers_that_crash_before_they_register_are_not_started_for_ever() -> None:
    """A processor without the instructions that a library was built for: SIGILL, before there is a lease."""
    p = play(2, backoff_limit=3, abort_deadline=5.0)
    for n in range(4):
        why = "its process crashed (SIGILL)"
        p.did(p.machine.handle(WorkerGone(n % 2, None, why, True, crashed=True), p.now))
    p.later(6.0)
    assert p.state.phase is Phase.FAILED
    assert p.state.cause is not None
    assert p.state.cause.reason == "BackoffLimitExceeded"
    assert "SIGILL" in p.state.cause.message


@pytest.mark.parametrize("limit", [0, 1])
def test_backoff_limits_below_the_attempts_count_first(limit: int) -> None:
    p, (one, two) = transferring(backoff_limit=limit)
    settle(p, [one, two])
    worker = one
    for _ in range(limit + 1):
        assert p.state.cause is None
        worker.sync(free=1)
        crash(p, worker)
        if p.state.cause is None:
            worker = again(p, worker)
    cause = p.state.cause
    assert cause is not None
    assert "/in/bad.parquet" in cause.message


def ready_to_write(p: Play, puppets: list[Puppet]) -> None:
    """Every split has arrived; no group is being written."""
    settle(p, puppets)
    for _ in range(20):
        if p.state.phase is Phase.WRITING:
            return
        for puppet in puppets:
            for lease in puppet.sync(free=0).leases or puppet.sync(free=1).leases:
                puppet.holding = [lease.id]
                puppet.sync([Done(lease.id, rows_read=10, rows_moved=10)], free=0)
    raise AssertionError(p.state.phase)


def writes(leases: list[LeaseId]) -> list[int]:
    return [lease.item for lease in leases if lease.kind is LeaseKind.WRITE]


def in_hand(puppet: Puppet, free: int = 2) -> list[LeaseId]:
    return [lease.id for lease in puppet.sync(free=free).leases]


def test_a_group_that_a_worker_crashed_over_is_written_alone() -> None:
    """One of two that were written at once is to blame: each is tried by itself, so that the other is cleared."""
    p, (one, two) = transferring(backoff_limit=50)
    ready_to_write(p, [one, two])
    first, second = writes(in_hand(one))
    crash(p, one)
    assert p.state.crashes.times == {(LeaseKind.WRITE, first): 1, (LeaseKind.WRITE, second): 1}
    one = again(p, one)
    suspects = p.state.crashes.suspected(LeaseKind.WRITE)
    bad, crashed = first, 0
    for _ in range(60):
        if p.state.cause is not None:
            break
        for puppet in (one, two):
            held = in_hand(puppet)
            tried = suspects & set(writes(held)) & p.state.crashes.suspected(LeaseKind.WRITE)
            assert not tried or len(held) == 1, f"{tried} with {held}"
            assert in_hand(puppet) == held or not tried, "and nothing comes beside it"
            if tried == {bad}:
                crashed += 1
                crash(p, puppet)
                if p.state.cause is None and puppet is one:
                    one = again(p, puppet)
                elif p.state.cause is None:
                    two = again(p, puppet)
                break
            if held:
                puppet.finish(held[0])
    assert crashed == ATTEMPTS - 1, "once with another one beside it"
    assert p.state.crashes.times[LeaseKind.WRITE, bad] == ATTEMPTS
    assert {item for kind, item in p.state.crashes.times if kind is LeaseKind.WRITE} <= {bad, second}
    assert p.state.cause is not None
    assert "while they wrote the same group" in p.state.cause.message


@pytest.mark.parametrize("kind", [LeaseKind.TRANSFER, LeaseKind.WRITE])
def test_an_idle_worker_helps_while_there_are_suspects(kind: LeaseKind) -> None:
    """Groups of a slow owner change hands although some lease is suspected."""
    p, (one, two) = transferring(backoff_limit=50, rebalance_after=2.0, rebalance_split=0.0)
    ready_to_write(p, [one, two])
    for group in list(p.state.ledger.facts.owners.unwritten_of(1)) if p.state.ledger is not None else []:
        lease = two.sync(free=1).leases[0].id
        assert lease.item == group
        two.finish(lease)
    p.state.crashes.times[kind, 99] = 1
    for _ in range(6):
        p.later(2.0)
        one.sync(free=0)
        two.sync(free=1)
    assert p.state.ledger is not None
    assert 1 in {p.state.ledger.facts.owner[g] for g in range(4) if not p.state.ledger.facts.written[g]}
