"""What a loss costs, in whole jobs: shards that were kept are sent again, who is told to go hands over what it has, and
after everything was gone at once the job goes on from what is written."""

from __future__ import annotations

import signal

import msgspec
import pytest
from tests.jobs.harness import Bench, Meddle, Watched, run_watched, sums, watched

from shuffle_operator.coordinator.events import Restored
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import LeaseKind, Phase

HASH = {"repartition": {"by": ["user"]}}
OUTPUT = {"partitions": 24, "sortWithin": ["score"]}
KEEP = {"recovery": {"retainShards": True}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, wide: object) -> dict[str, str]:
    bench = Bench(tmp_path_factory.mktemp("undisturbed"), "")
    bench.complete(bench.job(HASH, str(wide), OUTPUT))
    return sums(bench.out)


def job(bench: Bench, wide: object, workers: int = 3, **spec: object) -> Job:
    return bench.loaded(bench.job(HASH, str(wide), OUTPUT, **spec), workers=workers)


def holding(run: Watched, kind: LeaseKind) -> list[int]:
    members = run.local.machine.state.members
    return [w for w, live in members.items() if w in run.pids() and any(x.kind is kind for x in live.holding)]


async def all_there(run: Watched, count: int) -> None:
    await run.until(lambda: run.now.workers_ready == count == len(run.pids()), f"{count} workers")


def striking(phase: Phase, kind: LeaseKind, strike: str) -> Meddle:
    """Strike one worker that is at work in a phase, once something is done."""

    async def meddle(run: Watched) -> None:
        await all_there(run, 3)
        await run.until_phase(phase)
        await run.until(lambda: run.now.splits_done >= 4 and holding(run, kind), "something done")
        worker = holding(run, kind)[0]
        if strike == "kill":
            run.kill(worker)
        else:
            run.kill(worker, number=signal.SIGTERM)

    return meddle


@pytest.mark.parametrize(
    ("phase", "kind"), [(Phase.TRANSFERRING, LeaseKind.TRANSFER), (Phase.WRITING, LeaseKind.WRITE)]
)
async def test_what_was_kept_is_sent_again(
    bench: Bench, wide: object, undisturbed: dict[str, str], phase: Phase, kind: LeaseKind
) -> None:
    end, _ = await run_watched(bench, job(bench, wide, **KEEP), striking(phase, kind, "kill"))
    assert end.phase is Phase.COMPLETE
    assert sums(bench.out) == undisturbed
    assert end.workers_lost == 1
    assert end.splits_resent > 0
    read_again = end.splits_redone - end.splits_resent
    assert read_again <= end.splits // 3 + 4  # what the lost worker had read, and what was in hands
    assert end.bytes_sent_again < end.bytes_sent / 2


@pytest.mark.parametrize(
    ("phase", "kind"), [(Phase.TRANSFERRING, LeaseKind.TRANSFER), (Phase.WRITING, LeaseKind.WRITE)]
)
async def test_a_worker_that_is_told_to_go_hands_over_what_it_has(
    bench: Bench, wide: object, undisturbed: dict[str, str], phase: Phase, kind: LeaseKind
) -> None:
    end, run = await run_watched(bench, job(bench, wide), striking(phase, kind, "tell"))
    assert end.phase is Phase.COMPLETE
    assert sums(bench.out) == undisturbed
    assert (end.workers_lost, end.disruptions, end.failures) == (0, 0, 0)
    assert end.splits_resent > 0
    assert end.splits_redone - end.splits_resent <= 4  # what the others were reading at that moment
    assert "GroupsMoved" in {note.reason for note in run.notes}


async def test_after_everything_was_gone_the_job_goes_on_from_what_is_written(
    bench: Bench, wide: object, undisturbed: dict[str, str]
) -> None:
    first = job(bench, wide)

    async def give_up(run: Watched) -> None:
        await run.until(lambda: run.now.groups_written >= 6, "some groups")
        run.local.give_up()

    before, _ = await run_watched(bench, first, give_up)
    assert before.phase is Phase.WRITING
    again = watched(bench, msgspec.structs.replace(first, workers=2))
    again.local.machine = Coordinator(again.local.machine.state.job, Settings(patience=1.0), generation=1)
    again.local.machine.handle(Restored(survivors=True), 0.0)
    end = await again.local.run()
    assert end.phase is Phase.COMPLETE, end.cause
    assert sums(bench.out) == undisturbed
    (resumed,) = [note.message for note in again.notes if note.reason == "Resumed"]
    assert int(resumed.split()[0]) >= before.groups_written
    assert end.bytes_written > 0
