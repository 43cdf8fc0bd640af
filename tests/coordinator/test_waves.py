"""Parts of a job that exchange nothing: each of them is written as soon as its own splits have been read."""

from __future__ import annotations

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_protocol.messages import Done, LeaseId, LeaseKind


def two_waves() -> Ledger:
    """Splits 0 to 2 are for groups 0 and 2, splits 3 and 4 for groups 1 and 3. Each worker owns one of each wave."""
    ledger = Ledger(Facts(5, 4, split_wave=[0, 0, 0, 1, 1], group_wave=[0, 1, 0, 1]))
    ledger.facts.assign([0, 1])
    return ledger


def read(ledger: Ledger, worker: int) -> LeaseId:
    lease = ledger.granting.transfer(worker)
    assert lease is not None
    assert ledger.finish(Done(lease, rows_read=10), worker)
    return lease


def test_a_wave_is_written_while_the_next_is_read() -> None:
    ledger = two_waves()
    assert ledger.facts.owner == [0, 0, 1, 1]
    assert [read(ledger, 0).item for _ in range(2)] == [0, 1]
    assert ledger.granting.write(0) is None
    assert read(ledger, 1).item == 2
    assert ledger.facts.splits_done == 3
    assert not ledger.facts.barrier_reached
    first = ledger.granting.write(0)
    assert first is not None
    assert first.item == 0
    assert ledger.granting.write(0) is None  # its other group needs splits 3 and 4
    assert [read(ledger, 1).item for _ in range(2)] == [3, 4]
    assert ledger.facts.barrier_reached
    second = ledger.granting.write(0)
    assert second is not None
    assert second.item == 1
    assert ledger.facts.rows_known


def test_what_is_lost_is_read_again_from_its_own_wave() -> None:
    ledger = two_waves()
    for _ in range(5):
        read(ledger, 0)
    group = ledger.granting.write(1)
    assert group is not None
    assert ledger.finish(Done(group, rows_moved=5, rows_written=5), 1)
    assert group.item == 2
    assert ledger.lose(1) == [3]
    ledger.facts.assign([0])
    assert ledger.facts.splits_done == 3
    assert [read(ledger, 0).item for _ in range(2)] == [3, 4]
    assert ledger.granting.transfer(0) is None
    assert ledger.facts.barrier_reached


def test_groups_of_two_waves_that_are_lost_together() -> None:
    ledger = two_waves()
    assert ledger.lose(1) == [2, 3]
    assert len({ledger.facts.tranche[2], ledger.facts.tranche[3]}) == 2
    ledger.facts.assign([0])
    items = []
    while (lease := ledger.granting.transfer(0)) is not None:
        items.append(lease.item)
        ledger.finish(Done(lease, rows_read=10), 0)
    assert sorted(items) == [0, 1, 2, 3, 4]  # once for all that need it
    assert all(ledger.granting.write(0) is not None for _ in range(4))


def test_a_newcomer_takes_what_no_wave_has_begun() -> None:
    ledger = two_waves()
    lease = ledger.granting.transfer(0)
    assert lease is not None
    assert lease.kind is LeaseKind.TRANSFER
    assert ledger.share(2, [0, 1, 2])
    assert [g for g, owner in enumerate(ledger.facts.owner) if owner == 2] == [1]


def test_groups_of_two_waves_are_handed_over() -> None:
    """Each with what its own wave has brought."""
    ledger = two_waves()
    for _ in range(5):
        read(ledger, 0)
    assert ledger.hand_over([2, 3], 1) == [2, 3]
    ledger.facts.assign([0])
    assert ledger.granting.transfer(0) is None
    sent = []
    while (lease := ledger.granting.transfer(1, reads=False)) is not None:
        stored = ledger.granting.order(lease).stored
        assert stored is not None
        sent.append((lease.item, stored.tranche))
        ledger.finish(Done(lease, rows_read=10), 1)
    assert sorted(sent) == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)]
    assert ledger.facts.barrier_reached
