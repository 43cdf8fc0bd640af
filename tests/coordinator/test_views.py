"""What workers are sent of a view, and that laying changes over what they have gives what is."""

from __future__ import annotations

import random

import pytest

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.views import REMEMBERED, Views
from shuffle_protocol.messages import Member
from shuffle_protocol.runs import BLOCK, runs_of, spread
from shuffle_worker.transfer.membership import Membership

GROUPS = 3 * BLOCK + 7


def state(known: Membership, ledger: Ledger) -> tuple[list[int], list[int]]:
    groups = range(ledger.facts.groups)
    return [known.owner_of(g) for g in groups], [known.tranche_of(g) for g in groups]


@pytest.mark.parametrize("seed", range(20))
def test_changes_over_any_older_view_give_the_newest(seed: int) -> None:
    """Workers look at random moments, so each has missed some; now and then one is told late or twice."""
    chance = random.Random(seed)
    ledger, views, members = Ledger(Facts(3, GROUPS)), Views(), dict[int, Member]()
    watchers = [Membership(0, "w") for _ in range(4)]
    late = []
    for epoch in range(1, 60):
        worker = chance.randrange(12)
        if worker in members and chance.random() < 0.5:
            del members[worker]
            ledger.lose(worker)
        else:
            members[worker] = Member(worker, f"i{epoch}", f"10.0.0.{worker}:80")
        ledger.facts.assign(sorted(members))
        views.publish("p", epoch, members, ledger)
        for watcher in watchers:
            if chance.random() < 0.4:
                view = views.since(watcher.epoch)
                late.append(view)
                watcher.update(view)
                assert watcher.epoch == epoch
                assert state(watcher, ledger) == (ledger.facts.owner, ledger.facts.tranche)
                assert all(watcher.member(w) == members.get(w) for w in range(12))
                before = watcher.epoch
                assert watcher.update(chance.choice(late)) is None
                assert watcher.epoch == before


def test_a_change_over_another_view_is_not_taken() -> None:
    ledger, views = Ledger(Facts(1, 4)), Views()
    one = Member(1, "a", "h:1")
    known = Membership(0, "w")
    for epoch in (5, 6, 7):
        views.publish("p", epoch, {1: one} if epoch < 7 else {}, ledger)
        if epoch == 5:
            known.update(views.since(-1))
    change = views.since(6)
    assert (change.base, change.gone) == (6, [1])
    assert known.update(change) is None
    assert known.member(1) == one
    assert known.update(views.since(5)) is not None
    assert known.member(1) is None


def test_who_has_a_view_that_nobody_remembers_is_sent_a_whole_one() -> None:
    ledger, views = Ledger(Facts(1, 4)), Views()
    for epoch in range(REMEMBERED + 3):
        views.publish("p", epoch, {}, ledger)
    assert views.since(0).base == -1
    assert views.since(1 << 16).base == -1
    assert views.since(REMEMBERED).base == REMEMBERED


def test_a_view_is_made_once_for_all_who_need_it() -> None:
    ledger, views = Ledger(Facts(1, 4)), Views()
    views.publish("p", 1, {}, ledger)
    views.publish("p", 2, {}, ledger)
    assert views.since(1) is views.since(1)
    assert views.since(-1) is views.since(77)


def test_a_change_is_small_in_a_large_job() -> None:
    workers, groups = 2000, 8000
    ledger, views = Ledger(Facts(10, groups)), Views()
    members = {w: Member(w, f"{w:016x}", f"10.0.{w >> 8}.{w & 255}:8080") for w in range(workers)}
    ledger.facts.assign(sorted(members))
    views.publish("p", 1, members, ledger)
    del members[7]
    ledger.lose(7)
    ledger.facts.assign(sorted(members))
    views.publish("p", 2, members, ledger)
    change = views.since(1)
    assert (change.members, change.gone) == ([], [7])
    assert sum(run.count for run in change.runs) == groups // workers


def test_runs_and_back() -> None:
    owner, tranche = [0, 0, 1, 1, 1, -1], [0, 0, 0, 3, 3, 3]
    runs = runs_of(range(6), owner, tranche)
    assert [(run.first, run.count) for run in runs] == [(0, 2), (2, 1), (3, 2), (5, 1)]
    assert spread(6, runs) == (owner, tranche)
    assert runs_of([], [], []) == []
