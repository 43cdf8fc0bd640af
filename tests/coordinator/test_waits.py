"""A store that is away: said once an outage, and no part of the time that work takes."""

from __future__ import annotations

import re

import pytest

from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.coordinator.waits import CALM, MOST
from shuffle_protocol.messages import LeaseKind, Phase
from tests.coordinator.builders import Play, Puppet, transferring

SAID = "reading s3://a/b: http://s3 does not answer"
REASONS = ("WaitingForStorage", "StorageAnswers")


def notes(p: Play) -> list[Note]:
    return [each for each in p.actions if isinstance(each, Note) and each.reason in REASONS]


def seconds(p: Play, puppets: list[Puppet], count: float, why: str = "") -> None:
    for puppet in puppets:
        puppet.waiting_reason = why
    for _ in range(round(count)):
        for puppet in puppets:
            puppet.sync(free=0)
        p.later(1.0)


def test_an_outage_is_said_once_in_the_stores_words_and_once_when_it_is_over() -> None:
    p, puppets = transferring()
    seconds(p, puppets, 3)
    assert notes(p) == []
    seconds(p, puppets, 9, SAID)
    seconds(p, puppets, 30, f"{SAID} (tried again for 10 s)")
    assert notes(p) == [Note("WaitingForStorage", f"worker 0 waits: {SAID}", warning=True)]
    seconds(p, puppets, CALM - 2)
    assert len(notes(p)) == 1, "it may be but a moment"
    seconds(p, puppets, 5)
    assert notes(p)[1:] == [Note("StorageAnswers", "the store answers again after 38 s, and the job goes on")]


def test_a_store_that_answers_now_and_then_is_one_outage() -> None:
    p, puppets = transferring()
    for _ in range(30):
        seconds(p, puppets, 3, SAID)
        seconds(p, puppets, CALM - 5)
    seconds(p, puppets, CALM + 2)
    assert [note.reason for note in notes(p)] == list(REASONS)


def test_one_worker_after_the_other_is_one_outage() -> None:
    p, (one, two) = transferring()
    for waiting, other in ((one, two), (two, one), (one, two)):
        other.waiting_reason = ""
        waiting.waiting_reason = SAID
        for _ in range(5):
            one.sync(free=0)
            two.sync(free=0)
            p.later(1.0)
    assert len(notes(p)) == 1


def test_further_outages_are_said_too_but_not_without_end() -> None:
    p, puppets = transferring()
    for _ in range(MOST + 3):
        seconds(p, puppets, 3, SAID)
        seconds(p, puppets, CALM + 2)
    found = notes(p)
    assert [note.reason for note in found] == list(REASONS) * MOST
    assert len({note.message for note in found}) == len(found), "those of the same words are taken for the same event"
    assert found[2].message == f"worker 0 waits: {SAID} (outage 2)"


def left(p: Play) -> int | None:
    """Seconds, as people read them."""
    found = re.search(r"about (\d+) (s|min) left", snapshot(p.state, p.now).message)
    return int(found[1]) * (60 if found[2] == "min" else 1) if found is not None else None


def work(p: Play, puppets: list[Puppet], phase: Phase, outage: float, waiting: int = 2) -> int | None:
    """Half of a phase's leases at a pace, with an outage after the first. waiting: workers that wait in it; the others
    have a lease in hand as well."""
    done = 0
    while p.state.phase is phase and done < 2:
        for puppet in puppets:
            if not puppet.holding:
                puppet.ask()
            if puppet.holding and puppet.holding[0].kind is not LeaseKind.PLAN:
                seconds(p, puppets, 10)
                puppet.finish(puppet.holding[0])
                done += 1
            if done == 1 and outage:
                store_away(p, puppets, outage, waiting)
                outage = 0
            if done == 2:
                break
    return left(p)


def store_away(p: Play, puppets: list[Puppet], outage: float, waiting: int) -> None:
    """All have a lease, and some of them wait for a store."""
    for each in puppets:
        if not each.holding:
            each.ask()
    seconds(p, puppets[:waiting], 1, SAID)
    for _ in range(round(outage) - 1):
        for each in puppets:
            each.sync(free=0)
        p.later(1.0)
    for each in puppets:
        each.waiting_reason = ""
        each.sync(free=0)


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.WRITING])
def test_the_time_left_leaves_an_outage_out(phase: Phase) -> None:
    found = []
    for outage in (0.0, 600.0):
        p, puppets = transferring(silence=1e9)
        seconds(p, puppets, 6)
        if phase is Phase.WRITING:
            while p.state.phase is Phase.TRANSFERRING:
                for puppet in puppets:
                    lease = puppet.ask()
                    if lease is not None and lease.kind is LeaseKind.TRANSFER:
                        seconds(p, puppets, 5)
                        puppet.finish(lease)
        found.append(work(p, puppets, phase, outage))
    assert found[0] is not None
    assert found[1] == pytest.approx(found[0], abs=15)


def test_an_outage_before_the_plan_counts_for_nothing() -> None:
    p, puppets = transferring()
    seconds(p, puppets, 100, SAID)
    assert p.state.planned_at is not None
    assert p.state.waits.between(p.state.planned_at, None) == pytest.approx(100, abs=2)
    p.state.planned_at = p.now
    seconds(p, puppets, 3)
    assert p.state.waits.between(p.now - 3, None) == 0


def test_who_works_on_while_others_wait_counts_for_its_share() -> None:
    p, (one, two) = transferring()
    seconds(p, [one, two], 6)
    for puppet in (one, two):
        assert puppet.ask() is not None
    one.waiting_reason = SAID
    for _ in range(100):
        one.sync(free=0)
        two.sync(free=0)
        p.later(1.0)
    assert p.state.waits.seconds == pytest.approx(50, abs=1)
