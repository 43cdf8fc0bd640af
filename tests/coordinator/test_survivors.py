"""A coordinator that takes a job over: whom it asks for a view, whose word counts, and what a late write changes."""

from __future__ import annotations

import msgspec
import pytest

from shuffle_operator.coordinator.events import Restored, Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import Done, Held, LeaseId, LeaseKind, Phase, Transferred, View
from tests.coordinator.builders import Play, Puppet, held_by, job, play, summary, transferring

SETTINGS = Settings(patience=5.0, silence=15.0)


def after(workers: int = 2) -> Play:
    """The next coordinator, which waits for survivors."""
    p = Play(Coordinator(job(workers), SETTINGS, generation=1))
    p.machine.handle(Restored(survivors=True), 0.0)
    p.did(p.machine.handle(Started(), 0.0))
    return p


def come(p: Play, puppet: Puppet, *, epoch: int, plan: str = "plan", **held: object) -> None:
    """A survivor registers, as it does of itself: without its view."""
    puppet.play, puppet.epoch, puppet.holding = p, -1, []
    said = msgspec.structs.replace(Held(epoch, plan, [], []), **held)
    assert puppet.register(held=said).accepted


def view_of(puppet: Puppet, epoch: int) -> View:
    assert puppet.view is not None
    return msgspec.structs.replace(puppet.view, epoch=epoch)


def test_one_worker_is_asked_for_its_view_however_many_have_it() -> None:
    _, puppets = transferring(workers=5)
    for puppet in puppets:
        puppet.sync()
    p = after(5)
    for puppet in puppets:
        come(p, puppet, epoch=3)
    assert [puppet.sync().show_view for puppet in puppets] == [True, False, False, False, False]
    assert [puppet.sync().show_view for puppet in puppets] == [True, False, False, False, False], "a lost answer"
    assert p.state.ledger is None
    puppets[0].register(held=held_by(puppets[0], view=view_of(puppets[0], 3)))
    assert p.state.ledger is not None
    assert not any(puppet.sync().show_view for puppet in puppets)
    assert p.state.ledger.facts.owners.complete


def test_the_newest_view_is_asked_for_and_an_older_one_is_not_enough() -> None:
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    p = after()
    come(p, one, epoch=3)
    assert one.sync().show_view
    one.register(held=held_by(one, view=view_of(one, 3)))
    come(p, two, epoch=4)
    assert p.state.ledger is None
    assert not one.sync().show_view
    assert two.sync().show_view
    two.register(held=held_by(two, view=view_of(two, 4)))
    assert p.state.ledger is not None


def test_another_is_asked_when_the_one_with_the_view_is_lost() -> None:
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    p = after()
    come(p, one, epoch=3)
    come(p, two, epoch=3)
    assert one.sync().show_view
    p.now = 16.0
    two.sync()
    p.later(0.0)
    assert 0 not in p.state.members
    assert two.sync().show_view


def test_who_does_not_show_its_view_counts_as_one_that_holds_nothing() -> None:
    """Its word is about tranches as of a view that nobody else has."""
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    tranche = one.tranche[0]
    p = after()
    come(p, one, epoch=3)
    one.register(held=held_by(one, [Transferred(tranche, 0, 0, 10)], view=view_of(one, 3)))
    come(p, two, epoch=9, transferred=[Transferred(tranche, 1, 0, 10)])
    for _ in range(40):
        p.later(1.0)
        one.sync(free=0)
        two.sync(free=0)
    assert p.state.ledger is not None
    facts = p.state.ledger.facts
    assert facts.owner[:2] == [0, 0]
    assert facts.totals.rows_read == 10
    assert facts.tranche[:2] == [tranche, tranche]
    assert tranche not in facts.tranche[2:]


@pytest.mark.parametrize(
    "held",
    [
        pytest.param({"plan": "another"}, id="another plan"),
        pytest.param({"transferred": [Transferred(0, 99, 0, 10)]}, id="a split that the plan has not"),
        pytest.param({"kept": [-1]}, id="kept what there is not"),
    ],
)
def test_a_report_that_does_not_fit_the_plan_counts_as_none(held: dict[str, object]) -> None:
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    p = after()
    come(p, one, epoch=3)
    one.register(held=held_by(one, view=view_of(one, 3)))
    come(p, two, epoch=3, **held)
    assert p.state.ledger is not None
    assert p.state.ledger.facts.owner[:2] == [0, 0]
    assert p.state.ledger.facts.totals.rows_read == 0
    assert p.state.recovering, "groups of the other one may be written"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"rows": 11}, id="other rows"),
        pytest.param({"tally": 2}, id="the same rows for other groups"),
    ],
)
def test_survivors_that_read_a_split_differently_fail_the_job_by_its_input(other: dict[str, int]) -> None:
    """The second reading ended while there was no coordinator that could have seen it."""
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    assert one.view is not None
    runs = [msgspec.structs.replace(run, tranche=at) for at, run in enumerate(one.view.runs)]
    assert len(runs) == 2
    view = msgspec.structs.replace(view_of(one, 3), runs=runs)
    first = Transferred(0, 0, 0, 10, 1)
    p = after()
    come(p, one, epoch=3)
    one.register(held=held_by(one, [first], view=view))
    come(p, two, epoch=3, transferred=[msgspec.structs.replace(first, tranche=1, **other)])
    assert p.state.cause is not None
    assert p.state.cause.reason == "DataError"
    assert "the input changed while the job ran" in p.state.cause.message
    abort = one.ask()
    assert abort is not None
    assert abort.kind is LeaseKind.ABORT
    one.finish(abort)
    assert p.state.phase is Phase.FAILED


# -- a write that was begun under the predecessor, and is reported late ----------------------------------------------


def going_on() -> tuple[Play, Puppet, Puppet]:
    """Two survivors, everything transferred: the owners are about to write."""
    _, (one, two) = transferring()
    one.sync()
    two.sync()
    done = [Transferred(one.tranche[0], split, 0, 10) for split in range(4)]
    p = after()
    come(p, one, epoch=3)
    one.register(held=held_by(one, done, view=view_of(one, 3)))
    come(p, two, epoch=3, transferred=done)
    assert p.state.ledger is not None
    return p, one, two


def late(group: int, *, received: int = 10, attempt: int = 0) -> Done:
    write = LeaseId(LeaseKind.WRITE, 0, group, attempt)
    return Done(write, rows_moved=received, rows_written=10, bytes_written=10, files=1)


def test_a_late_write_is_a_mark_and_no_new_epoch() -> None:
    p, one, two = going_on()
    assert p.state.ledger is not None
    for puppet in (one, two):
        puppet.sync(free=0)
    epoch, tranche = p.state.epoch, list(p.state.ledger.facts.tranche)
    assert one.sync([late(1)], free=0).view is None
    assert p.state.epoch == epoch
    assert p.state.ledger.facts.tranche == tranche
    assert p.state.ledger.facts.groups_written == 1


def test_a_late_write_ends_the_lease_to_write_the_group_again() -> None:
    p, one, two = going_on()
    assert p.state.ledger is not None
    write = one.ask()
    assert write is not None
    assert (write.kind, write.item) == (LeaseKind.WRITE, 0)
    assert two.sync([late(0)], free=0).acknowledged
    assert write not in p.state.ledger.granting.out
    again = Done(write, rows_moved=10, rows_written=10, bytes_written=10, files=1)
    assert one.sync([again], free=0).acknowledged == [write]
    assert p.state.ledger.facts.totals.rows_written == 10


def test_a_late_write_is_held_to_the_rows_that_it_received() -> None:
    p, one, _two = going_on()
    one.sync([late(1, received=9)], free=0)
    assert p.state.cause is not None
    assert p.state.cause.message == "group 1: 9 rows received, 10 written"


def test_a_write_of_this_generation_that_is_not_out_is_no_late_one() -> None:
    p, one, _two = going_on()
    assert p.state.ledger is not None
    one.sync([late(1, attempt=p.state.ledger.granting.attempt_floor + 3)], free=0)
    assert p.state.ledger.facts.groups_written == 0


def test_a_write_of_this_generation_does_not_count_before_there_is_a_ledger() -> None:
    p = play(1, generation=1)
    one = p.worker(0)
    one.register()
    one.sync([late(0, attempt=1 << 8)], free=0)
    lease = one.ask()
    assert lease is not None
    assert lease.kind is LeaseKind.PLAN
    one.sync([Done(lease, plan=summary())])
    assert p.state.phase is Phase.TRANSFERRING
    assert p.state.ledger is not None
    assert p.state.ledger.facts.groups_written == 0
