"""What is recorded of a job while its coordinator goes on: everything counted once, and nothing changed."""

from __future__ import annotations

import msgspec
import pytest

from shuffle_operator.coordinator.events import Cancelled, Restored, Tick, WorkerGone
from shuffle_operator.coordinator.observer import Unobserved
from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.output_sizes import OutputSizes
from shuffle_operator.history.recorder import HistoryRecorder
from shuffle_operator.history.telling import history_of, line_of
from shuffle_protocol.measures import Received, Spent
from shuffle_protocol.messages import Counters, Done, LeaseId, LeaseKind, Phase, Sync
from tests.coordinator.builders import Play, Puppet, held_by, play, transferring


def recorded(workers: int = 2, generation: int = 0) -> tuple[Play, list[Puppet], HistoryRecorder]:
    """All workers are there and the plan is made, 1 s after the job began."""
    p = play(workers, generation)
    recorder = HistoryRecorder()
    p.machine.observer = recorder
    puppets = [p.worker(n) for n in range(workers)]
    p.later(1.0)
    for puppet in puppets:
        puppet.register()
    lease = puppets[0].ask()
    assert lease is not None
    puppets[0].finish(lease)
    return p, puppets, recorder


def told(p: Play, recorder: HistoryRecorder) -> JobHistory:
    history = history_of(p.state, recorder, now=p.now, wall=1e9 + p.now, namespace="default", version="1")
    assert recorder.broken == ""
    assert msgspec.json.decode(msgspec.json.encode(history), type=JobHistory) == history
    return history


def finish(puppet: Puppet, lease: LeaseId, *, twice: bool = False) -> None:
    """Half a second of reading and half of computing, or a second of writing, for 10 rows."""
    before = puppet.counters.spent
    if lease.kind is LeaseKind.TRANSFER:
        done = Done(lease, rows_read=10, bytes_read=100, rows_moved=10, bytes_moved=50, seconds=1.0)
        spent = Spent(before.read + 0.6, before.compute + 0.4, write=before.write, held=before.held + 1.0)
    else:
        done = Done(lease, 0, 0, 10, 80, 10, 40, files=1, largest=40, seconds=1.0, sizes=[(39, 1)], largest_file="p")
        spent = Spent(before.read, before.compute, write=before.write + 1.0, held=before.held + 1.0)
    puppet.counters = Counters(resident=1 << 28, cpu=puppet.counters.cpu + 1, spent=spent, memory_peak=1 << 28)
    for _ in range(2 if twice else 1):
        puppet.sync([done])


def work(p: Play, puppets: list[Puppet], *, until: Phase = Phase.COMPLETE, twice: bool = False) -> None:
    for _ in range(100):
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None:
                p.now += 1.0
                finish(puppet, lease, twice=twice)
        p.later(0.1)
        if p.state.over or p.state.phase is until:
            return


@pytest.mark.parametrize("twice", [False, True])
def test_everything_is_counted_once(twice: bool) -> None:
    p, puppets, recorder = recorded()
    work(p, puppets, twice=twice)
    history = told(p, recorder)
    assert history.progress.phase is Phase.COMPLETE
    rows = history.rows
    assert {rows.read.rows, rows.sent.rows, rows.stored.rows, rows.written.rows} == {40}
    assert (history.rows.read.bytes, history.rows.stored.bytes, history.rows.written.bytes) == (400, 320, 160)
    assert [check.holds for check in history.rows.checks] == [True, True]
    assert sum(worker.leases for worker in history.workers) == 10  # a plan, 4 splits, 4 groups, a commit
    assert sum(worker.rows_read for worker in history.workers) == 40
    assert history.skew.files == 4
    assert history.skew.biggest[0].name == "p"
    assert [span.phase for span in history.progress.phases][-1] is Phase.COMPLETE
    assert history.partial == ""


def test_lanes_show_what_workers_did() -> None:
    p, puppets, recorder = recorded()
    work(p, puppets)
    timeline = told(p, recorder).timeline
    lane = "".join(column[0] for column in timeline.columns)
    assert lane.startswith("---")  # a second without workers
    assert "r" in lane
    assert "w" in lane
    assert len(timeline.samples) == len(timeline.columns) == len(timeline.memory)
    assert [one.percent for one in timeline.samples] == sorted(one.percent for one in timeline.samples)
    assert timeline.samples[-1].rows_written == 40


def test_a_lost_worker_and_what_it_cost() -> None:
    p, (one, two), recorder = recorded()
    for puppet in (one, two):
        lease = puppet.ask()
        assert lease is not None
        p.now += 1.0
        finish(puppet, lease)
    held = two.ask()
    assert held is not None
    p.now += 2.0
    p.did(p.machine.handle(WorkerGone(1, None, "it was killed", fault=False), p.now))
    fresh = p.worker(1, "second")
    p.now += 1.0
    fresh.register()
    work(p, [one, fresh])
    history = told(p, recorder)
    assert p.state.phase is Phase.COMPLETE
    (loss,) = history.losses.lost
    assert (loss.worker, loss.why, loss.fault, loss.groups, loss.leases) == (1, "it was killed", False, 2, 1)
    assert loss.seconds_lost == pytest.approx(2.0, abs=0.01)
    assert loss.splits_read == 3  # the fourth had not been read yet
    assert loss.bytes_read == 300
    assert loss.repaired_after is not None
    assert history.losses.disruptions == 1
    assert history.workers[1].processes == 2
    kinds = [mark.kind for mark in history.marks.marks]
    assert "loss" in kinds
    assert "joined" in kinds
    assert history.rows.written.rows == history.rows.read.rows == 40
    assert history.rows.splits_again > 0
    again = recorder.sums.sent_again
    assert history.rows.sent.rows == 40 + again > 40
    assert f"{again} rows of them because others were lost" in history.rows.checks[0].text
    lanes = "".join(column[1] for column in history.timeline.columns)
    assert "-" in lanes.lstrip("-")
    assert "R" in "".join(history.timeline.columns)


def test_a_worker_that_is_lost_before_it_registers() -> None:
    p = play(1)
    recorder = HistoryRecorder()
    p.machine.observer = recorder
    p.did(p.machine.handle(WorkerGone(0, None, "its image cannot be pulled", fault=True), 3.0))
    p.now = 3.0
    (loss,) = told(p, recorder).losses.lost
    assert (loss.why, loss.fault, loss.groups) == ("its image cannot be pulled", True, 0)


def test_a_job_that_was_taken_over_says_that_its_history_is_partial() -> None:
    before, (one, two) = transferring()
    lease = one.ask()
    assert lease is not None
    one.finish(lease)
    two.ask()
    p = play(2, generation=1)
    recorder = HistoryRecorder()
    p.machine.observer = recorder
    p.did(p.machine.handle(Restored(survivors=True), 0.0))
    p.state.started_at = -60.0
    survivors = [Puppet(p, n, before.state.members[n].incarnation) for n in range(2)]
    for survivor, known in zip(survivors, (one, two), strict=True):
        survivor.known, survivor.epoch = known.known, known.epoch
        survivor.counters = Counters(spent=Spent(read=500.0, held=500.0), spilled=7)
        survivor.register(held=held_by(known))
        survivor.sync()
    p.later(1.0)
    history = told(p, recorder)
    assert "took this job over 60 s after it began" in history.partial
    assert max(worker.activity.read for worker in history.workers) == 0  # what came before is not known
    assert max(worker.spilled for worker in history.workers) == 0
    assert history.progress.seconds == pytest.approx(61, abs=1)


def test_what_was_received_from_whom() -> None:
    p, puppets, recorder = recorded()
    for puppet, received in zip(puppets, (Received(1, [0, 70]), Received(1, [30])), strict=True):
        message = Sync(puppet.number, puppet.incarnation, puppet.epoch, [], [], [], Counters(), 0, received=received)
        p.machine.sync(message, p.now)
    matrix = told(p, recorder).matrix
    assert (matrix.step, matrix.bytes, matrix.reported) == (1, [[0, 30], [70, 0]], True)


@pytest.mark.parametrize(
    "received",
    [Received(0, [1]), Received(1 << 60, [1] * 32), Received(1, [1] * 33), Received(1, [-1]), Received(1, [1 << 62])],
)
def test_what_nobody_can_have_received(received: Received) -> None:
    p, puppets, recorder = recorded()
    for puppet in puppets:
        message = Sync(puppet.number, puppet.incarnation, puppet.epoch, [], [], [], Counters(), 0, received=received)
        p.machine.sync(message, p.now)
    assert not told(p, recorder).matrix.reported


def test_a_failed_job() -> None:
    p, puppets, recorder = recorded()
    p.did(p.machine.handle(Cancelled("Cancelled", "the user wished so"), p.now))
    for _ in range(20):
        for puppet in puppets:
            orders = puppet.sync()
            for lease in orders.leases:
                puppet.sync([Done(lease.id)])
        p.later(1.0)
    assert p.state.phase is Phase.FAILED
    history = told(p, recorder)
    assert (history.progress.reason, history.progress.cause) == ("Cancelled", "the user wished so")
    assert history.progress.over
    assert history.progress.left is None
    assert "too early" not in history.verdict.sentence
    line = line_of(p.state, now=p.now, wall=1e9, namespace="default")
    assert (line.phase, line.over) == (Phase.FAILED, True)


def test_a_defect_stops_recording_and_not_the_job(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, puppets, recorder = recorded()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(OutputSizes, "wrote", broken)
    work(p, puppets)
    assert p.state.phase is Phase.COMPLETE
    assert "ZeroDivisionError" in recorder.broken
    history = history_of(p.state, recorder, now=p.now, wall=1e9)
    assert "defect" in history.partial
    assert sum("cannot be recorded" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("number", [-1, -(1 << 62), 1 << 62])
@pytest.mark.parametrize("seconds", [-1.0, -1e308, 1e308, 1e9])
def test_a_worker_that_says_anything(number: int, seconds: float) -> None:
    p, puppets, recorder = recorded()
    spent = Spent(read=seconds, compute=seconds, blocked=seconds, held=seconds)
    odd = Counters(
        resident=number, memory_peak=number, spilled=number, cpu=seconds, receiving_blocked=seconds, spent=spent
    )
    for _ in range(10):
        for puppet in puppets:
            lease = puppet.ask()
            if lease is not None:
                p.now += 1.0
                finish(puppet, lease)
                puppet.counters = odd
                puppet.sync([Done(lease, seconds=seconds)])
        p.later(0.1)
    told(p, recorder)


def test_watching_changes_nothing() -> None:
    """The same job with and without: the same actions and the same answers."""
    seen = []
    for observer in (HistoryRecorder(), Unobserved()):
        p = play(2)
        p.machine.observer = observer
        puppets = [p.worker(n) for n in range(2)]
        for puppet in puppets:
            puppet.register()
        lease = puppets[0].ask()
        assert lease is not None
        puppets[0].finish(lease)
        work(p, puppets)
        seen.append((p.actions, p.now, p.state.phase))
    assert seen[0] == seen[1]


def test_it_stays_small_however_long_a_job_takes() -> None:
    p, (one, two), recorder = recorded()
    for n in range(3000):
        p.now += 10.0
        for puppet in (one, two):
            spent = Spent(compute=10.0 * n, held=10.0 * n)
            puppet.counters = Counters(resident=(n % 400) << 20, spent=spent)
            puppet.sync(free=0)
        p.did(p.machine.handle(Tick(), p.now))
    history = told(p, recorder)
    assert len(history.timeline.columns) <= 240
    assert history.timeline.width >= 30_000 / 240
    assert set("".join(history.timeline.columns[2:-2])) == {"c"}
    assert len(msgspec.json.encode(history)) < 64 << 10
