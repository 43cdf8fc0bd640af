"""Every group must have received what was sent to it, in jobs that do not write every row as well."""

from __future__ import annotations

import msgspec
import pytest

from shuffle_operator.coordinator.events import WorkerGone
from shuffle_operator.coordinator.ledger.balance import Balance
from shuffle_operator.coordinator.ledger.totals import Inconsistent
from shuffle_protocol.messages import Done, LeaseId, LeaseKind, Phase, Transferred
from shuffle_protocol.tally import tally
from tests.coordinator.builders import Play, Puppet, play, summary

SPLITS, GROUPS = 4, 4
SENT = [[1, 2, 0, 4], [3, 3, 3, 3], [0, 0, 0, 9], [5, 0, 0, 0]]
"""Rows by split and group."""

RECEIVED = [sum(split[group] for split in SENT) for group in range(GROUPS)]


def aggregating(workers: int = 2, **plan: bool) -> tuple[Play, list[Puppet]]:
    """A job whose rows read and written need not agree, or as `plan` says; its plan is made."""
    p = play(workers, backoff_limit=50)
    puppets = [p.worker(n) for n in range(workers)]
    for puppet in puppets:
        puppet.register()
    lease = puppets[0].ask()
    assert lease is not None
    made = msgspec.structs.replace(summary(SPLITS, GROUPS), **{"keeps_rows": False, **plan})
    puppets[0].sync([Done(lease, plan=made)])
    return p, puppets


def result(p: Play, lease: LeaseId, received: list[int]) -> Done:
    """What its worker reports: the tally of the groups that the lease is for."""
    if lease.kind is LeaseKind.TRANSFER:
        assert p.state.ledger is not None
        order = p.state.ledger.granting.order(lease)
        tranches = {lease.tranche, *(part.tranche for part in order.piggybacked)}
        groups = [g for g, tranche in enumerate(p.state.ledger.facts.tranche) if tranche in tranches]
        sent = tally((g, SENT[lease.item][g]) for g in groups)
        return Done(lease, rows_read=20, rows_moved=20, tally=sent, covers=len(groups))
    rows = received[lease.item] if lease.kind is LeaseKind.WRITE else 0
    return Done(lease, rows_moved=rows, rows_written=1, bytes_written=1, files=1)


def carry_out(p: Play, puppets: list[Puppet], received: list[int]) -> None:
    for _ in range(60):
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None:
                puppet.sync([result(p, lease, received)])
        if p.state.over:
            return


def test_a_job_whose_groups_received_what_was_sent_is_committed() -> None:
    p, puppets = aggregating()
    carry_out(p, puppets, RECEIVED)
    assert p.state.phase is Phase.COMPLETE


@pytest.mark.parametrize(
    "received",
    [
        pytest.param([8, *RECEIVED[1:]], id="a row is missing"),
        pytest.param([10, *RECEIVED[1:]], id="a row too many"),
        pytest.param([0, *RECEIVED[1:]], id="nothing came"),
        pytest.param([RECEIVED[1], RECEIVED[0], *RECEIVED[2:]], id="two groups' rows are exchanged"),
        pytest.param([RECEIVED[0] + 1, RECEIVED[1] - 1, *RECEIVED[2:]], id="a row is in another group"),
    ],
)
def test_a_group_that_received_other_rows_is_not_committed(received: list[int]) -> None:
    p, puppets = aggregating()
    carry_out(p, puppets, received)
    assert p.state.phase is Phase.FAILED
    assert p.state.cause is not None
    assert p.state.cause.reason == "Internal"
    assert p.state.cause.message.startswith("a group received other rows than were sent to it")


@pytest.mark.parametrize("missing", [0, 1])
def test_what_is_read_again_for_some_groups_changes_nothing(missing: int) -> None:
    """The tallies of the first time say what the groups of a lost owner must receive from the second."""
    p, (one, two) = aggregating()
    for puppet in (one, two):
        lease = puppet.ask()
        assert lease is not None
        puppet.sync([result(p, lease, RECEIVED)], free=0)
    p.did(p.machine.handle(WorkerGone(1, two.incarnation, "killed", False), p.now))
    carry_out(p, [one], [*RECEIVED[:3], RECEIVED[3] - missing])
    assert p.state.ledger is not None
    assert p.state.ledger.facts.totals.splits_redone > 0
    assert p.state.ledger.facts.balance.known
    assert p.state.phase is (Phase.FAILED if missing else Phase.COMPLETE)


def test_what_covers_some_groups_alone_does_not_count() -> None:
    balance = Balance(1, 4)
    balance.note_sent(Transferred(0, 0, 0, 10, 77, 3))
    assert not balance.known
    balance.note_sent(Transferred(0, 0, 0, 10, -1, 0))
    assert not balance.known
    balance.note_sent(Transferred(0, 0, 0, 10, 77, 4))
    for group in range(4):
        balance.note_received(group, 0)
    assert balance.known
    assert not balance.agrees


def test_with_waves_a_split_covers_the_groups_of_its_own() -> None:
    balance = Balance(2, 3, split_wave=[0, 1], group_wave=[0, 1, 1])
    balance.note_sent(Transferred(0, 0, 0, 5, tally([(0, 5)]), 1))
    balance.note_sent(Transferred(1, 1, 0, 7, tally([(1, 3), (2, 4)]), 2))
    for group, rows in enumerate((5, 3, 4)):
        balance.note_received(group, rows)
    assert balance.known
    assert balance.agrees


def test_figures_that_are_not_known_fail_nothing() -> None:
    balance = Balance(2, 1)
    balance.note_sent(Transferred(0, 0, 0, 5, tally([(0, 5)])))
    balance.note_received(0, 9)
    assert not balance.known
    assert balance.agrees


def test_a_split_that_sends_something_else_the_second_time_is_an_input_that_changed() -> None:
    balance = Balance(1, 2)
    balance.note_sent(Transferred(0, 0, 0, 5, 1))
    balance.note_sent(Transferred(3, 0, 1, 5, 1))
    with pytest.raises(Inconsistent, match="split 0 sent other rows when it was read again"):
        balance.note_sent(Transferred(4, 0, 2, 5, 2))


@pytest.mark.parametrize(
    ("leaves_out", "more", "phase"),
    [(True, -1, Phase.COMPLETE), (True, 0, Phase.COMPLETE), (True, 1, Phase.FAILED), (False, -1, Phase.FAILED)],
)
def test_a_filter_of_the_output_leaves_rows_out_and_makes_none(leaves_out: bool, more: int, phase: Phase) -> None:
    p, puppets = aggregating(keeps_rows=True, leaves_out=leaves_out)

    def done(lease: LeaseId) -> Done:
        found = result(p, lease, RECEIVED)
        if lease.kind is LeaseKind.TRANSFER:
            return msgspec.structs.replace(found, rows_read=sum(SENT[lease.item]), rows_moved=sum(SENT[lease.item]))
        return msgspec.structs.replace(found, rows_written=max(found.rows_moved + more, 0))

    for _ in range(60):
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None:
                puppet.sync([done(lease)])
    assert p.state.phase is phase
