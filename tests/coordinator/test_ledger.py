"""What is due after a loss, and to whom it goes: read once for all who need it, sent again by those who have it."""

from __future__ import annotations

import pytest

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_protocol.messages import Attempt, Done, LeaseId, LeaseKind


def ledger(splits: int = 4, groups: int = 4, workers: int = 2) -> Ledger:
    made = Ledger(Facts(splits, groups))
    made.facts.assign(list(range(workers)))
    return made


def transfer(made: Ledger, worker: int, *, kept: bool = False, size: int = 10) -> LeaseId:
    lease = made.granting.transfer(worker)
    assert lease is not None
    reads = made.granting.order(lease).resend is False and not made.granting.order(lease).stored
    done = Done(lease, rows_read=10, bytes_read=size if reads else 0, bytes_moved=size, kept=kept)
    assert made.finish(done, worker)
    return lease


def rest(made: Ledger, worker: int) -> list[LeaseId]:
    """Everything that a worker can do of the transfer."""
    found = []
    while made.granting.transfer(worker) is not None:
        lease = next(x for x, w in made.granting.out.items() if w == worker)
        found.append(lease)
        assert made.finish(Done(lease, rows_read=10, bytes_read=10, bytes_moved=10), worker)
    return found


def test_a_split_that_several_tranches_need_is_read_once() -> None:
    made = ledger()
    transfer(made, 0)
    made.lose(1)
    made.facts.assign([0])
    leases = rest(made, 0)
    assert sorted(lease.item for lease in leases) == [0, 1, 2, 3]  # 0 for the lost groups alone, the others for all
    assert made.facts.barrier_reached
    assert made.facts.totals.bytes_read == 10 * 5
    assert made.facts.totals.bytes_read_again == 10
    assert made.facts.totals.splits_redone == 1


def test_a_lease_says_for_whom_else_it_reads() -> None:
    made = ledger()
    made.lose(1)
    made.facts.assign([0])
    lease = made.granting.transfer(0)
    assert lease is not None
    (along,) = made.granting.order(lease).piggybacked
    assert (along.split, along.attempt) == (lease.item, 0)
    assert along.tranche == made.facts.tranche[3]
    made.granting.give_back(lease)
    again = made.granting.transfer(0)
    assert again is not None
    assert (again.item, again.attempt) == (lease.item, 1)
    assert made.granting.order(again).piggybacked == [Attempt(along.tranche, lease.item, 1)]


def test_who_kept_what_it_sent_sends_it_again_and_what_the_lost_one_read_is_read() -> None:
    made = ledger(splits=4, groups=6, workers=3)
    by_0, by_1, by_2 = (transfer(made, worker, kept=True).item for worker in range(3))
    made.lose(2)
    made.facts.assign([0, 1])
    lease = made.granting.transfer(1)
    assert lease is not None
    assert lease.item == 3  # of the oldest tranche: never read, for everybody
    assert len(made.granting.order(lease).piggybacked) == 1
    lease = made.granting.transfer(1)
    assert lease is not None
    assert (lease.item, made.granting.order(lease).resend) == (by_1, True)
    lease = made.granting.transfer(1)
    assert lease is not None
    assert (lease.item, made.granting.order(lease).resend) == (by_2, False)
    assert made.granting.transfer(1) is None  # the last one is for worker 0
    lease = made.granting.transfer(0)
    assert lease is not None
    assert (lease.item, made.granting.order(lease).resend) == (by_0, True)


def test_what_turns_out_not_to_be_kept_is_read() -> None:
    made = ledger(splits=1)
    transfer(made, 0, kept=True)
    made.lose(1)
    made.facts.assign([0])
    lease = made.granting.transfer(0)
    assert lease is not None
    assert made.granting.order(lease).resend
    made.granting.not_at_hand(lease)
    lease = made.granting.transfer(0)
    assert lease is not None
    assert not made.granting.order(lease).resend


def test_what_is_being_read_when_a_worker_is_lost_is_sent_again_once_it_is_kept() -> None:
    made = ledger(splits=2, groups=3, workers=3)
    transfer(made, 0, kept=True)
    reading = made.granting.transfer(1)
    assert reading is not None
    made.lose(2)
    made.facts.assign([0, 1])
    sent = made.granting.transfer(0)
    assert sent is not None
    assert made.granting.order(sent).resend
    assert made.granting.transfer(0) is None  # worker 1 is reading it, and will have kept it
    assert made.finish(Done(reading, rows_read=10, kept=True), 1)
    lease = made.granting.transfer(1)
    assert lease is not None
    assert (lease.item, made.granting.order(lease).resend) == (reading.item, True)


def test_groups_that_are_handed_over_are_sent_by_their_owner() -> None:
    made = ledger(splits=2, groups=2)
    first = transfer(made, 0)
    assert made.hand_over([1], 1) == [1]
    made.facts.assign([0])
    assert made.routing.migrating() == [(made.facts.tranche[1], 1)]
    lease = made.granting.transfer(1, reads=False)
    assert lease is not None
    assert made.granting.order(lease).stored == Attempt(0, first.item, 0)
    assert made.granting.transfer(1, reads=False) is None
    assert made.routing.hands_over(1)
    assert made.finish(Done(lease, rows_read=-1), 1)
    assert not made.routing.hands_over(1)
    (other,) = rest(made, 0)  # the other split had not been read yet: once, for both
    assert other.item != first.item
    assert made.facts.barrier_reached
    assert made.facts.rows_known


def test_an_owner_that_goes_before_it_has_handed_over_everything_costs_the_rest() -> None:
    made = ledger(splits=3, groups=2)
    for _ in range(3):
        transfer(made, 0)
    made.hand_over([1], 1)
    made.facts.assign([0])
    transfer(made, 1)
    made.lose(1)
    assert len(rest(made, 0)) == 2


def test_of_two_attempts_the_first_counts() -> None:
    made = ledger(splits=1)
    slow = made.granting.transfer(0)
    assert slow is not None
    quick = made.granting.speculate(1, slow)
    assert quick is not None
    assert quick.attempt == 1
    assert made.granting.speculate(1, slow) is None
    assert made.finish(Done(quick, rows_read=10), 1)
    assert made.granting.out == {}
    assert not made.finish(Done(slow, rows_read=10), 0)
    write = made.granting.write(0)
    assert write is not None
    assert made.granting.order(write).counted == [Attempt(0, 0, 1)]


@pytest.mark.parametrize("fails", [0, 1])
def test_of_two_attempts_one_may_fail(fails: int) -> None:
    made = ledger(splits=1)
    slow = made.granting.transfer(0)
    assert slow is not None
    quick = made.granting.speculate(1, slow)
    assert quick is not None
    two = [(slow, 0), (quick, 1)]
    made.granting.give_back(two[fails][0])
    assert made.granting.transfer(0) is None  # the other goes on
    made.granting.give_back(two[1 - fails][0])
    assert made.granting.transfer(0) is not None


def test_a_slow_sender_loses_what_waits_for_it() -> None:
    made = ledger(splits=2, groups=3, workers=3)
    transfer(made, 0, kept=True)
    transfer(made, 0, kept=True)
    made.lose(2)
    made.facts.assign([0, 1])
    assert made.granting.transfer(1) is None
    lease = made.granting.steal(1, 0)
    assert lease is not None
    assert not made.granting.order(lease).resend
    assert made.granting.transfer(0) is not None
    assert made.granting.transfer(0) is None


def test_shared_shards_lose_nothing_but_leases() -> None:
    made = Ledger(Facts(1, 2, shared=True))
    made.facts.assign([0, 1])
    transfer(made, 0)
    assert made.lose(0) == []
    made.facts.assign([1])
    assert made.facts.barrier_reached
    made.routing.undo(0)
    assert not made.facts.barrier_reached
    lease = made.granting.transfer(1)
    assert lease is not None
    assert (lease.kind, lease.attempt) == (LeaseKind.TRANSFER, 1)
