"""What a cluster adds to a job's life: other numbers of workers, cancelled while pods leave, pods that never start."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Note, StopWorker
from shuffle_operator.coordinator.events import Cancelled, Resized, WaitingReason, WorkerGone
from shuffle_operator.coordinator.status import snapshot
from shuffle_protocol.messages import Done, LeaseKind, Phase
from tests.coordinator.builders import play, transferring


def test_more_workers_are_started_and_take_part() -> None:
    p, _ = transferring(2)
    p.actions.clear()
    p.did(p.machine.handle(Resized(3), p.now))
    assert p.started() == [2]
    newcomer = p.worker(2)
    assert newcomer.register().accepted
    assert newcomer.ask() is not None


def test_fewer_workers_is_no_failure_and_they_go_when_their_groups_are_handed_over() -> None:
    p, puppets = transferring(2)
    puppets[0].sync()
    assert 1 in puppets[0].owner
    p.did(p.machine.handle(Resized(1), p.now))
    assert (p.state.lost, p.state.losses.failures, p.state.losses.disruptions) == (0, 0, 0)
    assert puppets[0].sync().view is not None
    assert 1 not in puppets[0].owner
    assert -1 not in puppets[0].owner
    assert StopWorker(1, now=False) in p.actions  # it had nothing stored yet
    p.actions.clear()
    orders = puppets[1].sync()
    assert (orders.known, orders.stop) == (False, True)
    p.did(p.machine.handle(WorkerGone(1, "w1", "it left", False), p.now))
    assert p.started() == []
    assert p.state.losses.disruptions == 0


def test_resize_to_the_same_number_does_nothing() -> None:
    p, _ = transferring(2)
    epoch = p.state.epoch
    assert p.machine.handle(Resized(2), p.now) == []
    assert p.state.epoch == epoch


def test_a_worker_that_is_leaving_still_removes_what_was_written() -> None:
    p, puppets = transferring(2)
    p.did(p.machine.handle(Cancelled("Deleted", "the job was deleted"), p.now))
    for puppet in puppets:
        puppet.sync(free=0, leaving=True)  # lets go of what it had
    kinds = {lease.id.kind: puppet for puppet in puppets for lease in puppet.sync(free=0, leaving=True).leases}
    assert set(kinds) == {LeaseKind.ABORT}
    cleaner = kinds[LeaseKind.ABORT]
    orders = cleaner.finish(cleaner.holding[0])
    assert p.state.phase is Phase.FAILED
    assert orders.stop


def test_leaving_workers_are_told_that_the_job_is_being_undone() -> None:
    p, puppets = transferring(2)
    assert not puppets[0].sync(leaving=True).aborting
    p.did(p.machine.handle(Cancelled("Deleted", "the job was deleted"), p.now))
    assert puppets[0].sync(leaving=True).aborting


def test_it_is_too_late_to_cancel_a_commit() -> None:
    p, (one, two) = transferring(2)
    while p.state.phase is not Phase.COMMITTING:
        for puppet in (one, two):
            lease = puppet.ask()
            if lease is not None and lease.kind is not LeaseKind.COMMIT:
                puppet.finish(lease)
    p.did(p.machine.handle(Cancelled("Cancelled", "by its user"), p.now))
    assert p.state.phase is Phase.COMMITTING
    assert p.state.cause is None


def test_a_job_without_the_report_that_it_was_asked_for_is_complete_and_says_so() -> None:
    p, puppets = transferring(2)
    missing = "the job's report was not written: not within 30 s: writing s3://a/_report.html: the store is away"
    while p.state.phase is not Phase.COMPLETE:
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None and lease.kind is LeaseKind.COMMIT:
                puppet.sync([Done(lease, output={"noReport": missing})])
            elif lease is not None:
                puppet.finish(lease)
    assert Note("ReportNotWritten", missing, warning=True) in p.actions
    assert snapshot(p.state, p.now).message.endswith(f"; {missing}")


def test_the_startup_deadline_says_what_kept_the_pods() -> None:
    p = play(2, startup_deadline=60.0)
    p.did(p.machine.handle(WaitingReason("image cannot be pulled"), p.now))
    p.later(61.0)
    assert p.state.phase is Phase.FAILED  # at once: nobody planned, so there is nothing to remove
    assert p.state.cause is not None
    assert p.state.cause.message.endswith("image cannot be pulled")


def test_a_pod_that_dies_before_it_registers_is_replaced_under_another_name() -> None:
    p = play(1)
    p.actions.clear()
    before = p.state.epoch
    p.did(p.machine.handle(WorkerGone(0, None, "OOMKilled", True), p.now))
    assert p.started() == [0]
    assert p.state.epoch > before
