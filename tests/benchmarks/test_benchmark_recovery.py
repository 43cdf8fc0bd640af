"""What the benchmark of recovery says of its figures: every aim beside its figure, computed the same way for each."""

from __future__ import annotations

import msgspec
import pytest
from benchmarks.engines.dask_killed import READS, WRITES, Watch
from benchmarks.recovery import AGAIN, DASK, REREAD, RETAINED, SLOWER, Bench, Figure, Outcome, of_ours, row
from benchmarks.strike import Ran, Striker

from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.status import Snapshot, snapshot
from shuffle_protocol.jobs import Input, Job, Output, Repartition


def snap(**figures: float) -> Snapshot:
    job = Job("uid", "job", Repartition(), [Input(["in"])], Output("out"), 4, 1 << 29)
    return msgspec.structs.replace(snapshot(JobState(job), 0.0), **figures)


def ran(seconds: float, sent: int, read: int, before: Snapshot | None = None, twice: int = 0) -> Ran:
    written = {f"part-{n}": n for n in range(4)}
    files = {f"part-{n}": n - (n < twice) for n in range(4)}
    end = snap(seconds=seconds, bytes_sent=sent, bytes_read=read)
    return Ran(end, 1.0, 0, "digest", written, before, files if before is not None else {})


CALM = of_ours(RETAINED, "", ran(10.0, 1000, 400), None)


def test_an_undisturbed_run_has_no_aims() -> None:
    assert (CALM.seconds, CALM.sent, CALM.read) == (10.0, 1000, 400)
    assert CALM.missed() == []
    assert "<=" not in row(CALM)


def test_again_is_what_was_moved_beyond_the_undisturbed_run_as_a_part_of_what_had_been_moved() -> None:
    struck = snap(bytes_sent=500, bytes_read=200)
    found = of_ours(RETAINED, "50", ran(13.0, 1130, 450, struck), CALM)
    assert found.sent_again == Figure(0.26, AGAIN)
    assert found.read_again == Figure(0.25, AGAIN)
    assert found.ratio == Figure(1.3, 1.35)
    assert found.written_twice == Figure(0, 0)
    assert found.missed() == []


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (ran(14.0, 1000, 400, snap(bytes_sent=500, bytes_read=200)), "times the undisturbed time: 1.40 > 1.35"),
        (ran(10.0, 1140, 400, snap(bytes_sent=500, bytes_read=200)), "sent again: 0.28 > 0.275"),
        (ran(10.0, 1000, 460, snap(bytes_sent=500, bytes_read=200)), "read again: 0.30 > 0.275"),
        (ran(10.0, 1000, 400, snap(bytes_sent=500, bytes_read=200), twice=1), "files written twice: 1.00 > 0"),
    ],
)
def test_each_aim_can_be_missed(run: Ran, missed: str) -> None:
    assert of_ours(RETAINED, "50", run, CALM).missed() == [missed]


def test_reading_again_is_no_miss_where_nothing_was_kept() -> None:
    found = of_ours(REREAD, "50", ran(15.0, 1000, 700, snap(bytes_sent=500, bytes_read=200)), CALM)
    assert found.read_again == Figure(1.5)
    assert found.ratio == Figure(1.5, SLOWER[REREAD])
    assert found.missed() == []


def test_what_is_missed_and_outputs_that_differ_are_told_and_a_peers_figures_are_not() -> None:
    bench = Bench(Striker.__new__(Striker), None)
    late = of_ours(RETAINED, "50", ran(20.0, 1000, 400, snap(bytes_sent=500, bytes_read=200)), CALM)
    slow = Outcome(DASK, "50", 99.0, 99.0, ratio=Figure(3.0), sent_again=Figure(1.0))
    other = Outcome(RETAINED, "", 1.0, 1.0, digest="another")
    bench.outcomes = [CALM, late, slow, other]
    assert bench.missed() == ["retained 50: times the undisturbed time: 2.00 > 1.35", "the outputs differ"]


def test_the_median_of_the_undisturbed_runs_counts() -> None:
    bench = Bench(Striker.__new__(Striker), None)
    for way, seconds in ((REREAD, (10.0, 30.0, 12.0)), (RETAINED, (12.0, 50.0, 13.2))):
        bench.calm[way] = [Outcome(way, "", one, one) for one in seconds]
    typical = bench.typical(REREAD)
    assert typical is not None
    assert typical.seconds == 12.0
    assert "3 each, in turns): wall +10.0% (10.0 to 30.0 s without, 12.0 to 50.0 with)" in bench.cost_of_retaining()


@pytest.mark.parametrize(("point", "struck_at"), [("25", 2), ("50", 4), ("95", 8), ("write", 8)])
def test_a_worker_of_dasks_is_killed_when_it_is_time(point: str, struck_at: int) -> None:
    struck: list[int] = []
    keys = [(f"{kind}-abc", n) for kind in (READS, WRITES) for n in range(8)] + [("read_parquet-abc", 0)]
    watch = Watch(point, lambda: struck.append(1))
    seen = []
    for key in keys:
        watch.ended(key, keys)
        seen.append(watch.struck)
    assert seen.index(True) == (struck_at - 1 if point != "write" else 8 + 3)
    assert watch.before == struck_at
    assert watch.before + watch.after == watch.total[READS] == 8
