"""Workers that are killed or stopped at any moment: the job goes on, and its output has the bytes that it has without.

Every test makes sure that it struck when it meant to: it looks at the coordinator's state, strikes, and checks that the
worker was counted as lost.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.data import WIDE_ROWS
from tests.jobs.harness import PATIENCE, Bench, Meddle, Watched, processes, run_watched, sums, wait_until

from shuffle_local.processes import LocalLauncher
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import LeaseKind, Phase

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
OUTPUT = {"partitions": 24, "sortWithin": ["score"]}
ONE_FILE: dict[str, Any] = {"sort": {"by": [{"column": "score"}]}}

RANDOM: dict[str, Any] = {"repartition": {"random": {"seed": 3}}}
CLUSTER: dict[str, Any] = {"cluster": {"by": ["user", "at"]}}
COMPUTED: dict[str, Any] = {"repartition": {"by": ["shout"]}}
COMPUTE = {"shout": "lower(name) || '!'"}
KEYED = {"random": RANDOM, "cluster": CLUSTER, "computed": COMPUTED}
"""Whose keys are in no file: random, along a curve, computed."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> dict[str, dict[str, str]]:
    """The outputs of runs in which nothing goes wrong."""
    found = {}
    for name, operation, output in (
        ("hash", HASH, OUTPUT),
        ("sort", ONE_FILE, {"partitions": 1}),
        ("random", RANDOM, {"partitions": 6}),
        ("cluster", CLUSTER, {"partitions": 6}),
        ("computed", COMPUTED, {"partitions": 6}),
    ):
        bench = Bench(tmp_path_factory.mktemp(name), "")
        end = bench.complete(bench.job(operation, source_of(name, wide), output))
        assert end.splits >= 8
        found[name] = sums(bench.out)
    return found


def source_of(name: str, wide: Path) -> dict[str, Any]:
    return {"path": str(wide), **({"compute": COMPUTE} if name == "computed" else {})}


def holders(run: Watched, *kinds: LeaseKind) -> list[int]:
    """Workers that hold a lease of such a kind and are known to be there."""
    members = run.local.machine.state.members
    return [w for w, live in members.items() if w in run.pids() and any(x.kind in kinds for x in live.holding)]


def others(run: Watched, worker: int) -> int:
    return next(w for w in run.pids() if w != worker)


async def ready(run: Watched, count: int = 2) -> None:
    await run.until(lambda: run.now.workers_ready == count == len(run.pids()), f"{count} workers")


async def disturbed(bench: Bench, wide: Path, meddle: Meddle, settings: Settings | None = None) -> Any:
    job = bench.loaded(bench.job(HASH, wide, OUTPUT))
    end, _ = await run_watched(bench, job, meddle, settings)
    assert end.phase == "Complete", end.cause
    assert end.rows_read == end.rows_written == WIDE_ROWS
    return end


UNHURRIED_PLAN = """\
import time
from shuffle_worker.tables import work
_planned = work.make_plan
work.make_plan = lambda *given: (time.sleep(0.3), _planned(*given))[1]
"""
"""Runs in every worker: planning takes long enough for a test to see who does it."""


@pytest.mark.parametrize("whom", ["the planner", "the other"])
async def test_killed_while_planning(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], whom: str
) -> None:
    async def kill(run: Watched) -> None:
        await run.until(lambda: len(run.now.message) and holders(run, LeaseKind.PLAN), "a plan lease")
        (planner,) = holders(run, LeaseKind.PLAN)
        if whom != "the planner":
            await run.until(lambda: len(run.pids()) == 2, "both processes")
        assert run.local.machine.state.phase is Phase.PLANNING
        run.kill(planner if whom == "the planner" else others(run, planner))

    bench.inject(UNHURRIED_PLAN)
    end = await disturbed(bench, wide, kill)
    assert end.workers_lost + end.workers_replaced >= 1
    assert sums(bench.out) == undisturbed["hash"]


@pytest.mark.parametrize("done", [0, 5])
async def test_killed_while_transferring(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], done: int
) -> None:
    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await ready(run)
        await run.until(lambda: run.now.splits_done >= done and holders(run, LeaseKind.TRANSFER), f"{done} splits")
        assert run.local.machine.state.phase is Phase.TRANSFERRING
        run.kill(random.Random(done).choice(holders(run, LeaseKind.TRANSFER)))

    end = await disturbed(bench, wide, kill)
    assert end.workers_lost == 1
    assert end.workers_replaced == 1
    assert sums(bench.out) == undisturbed["hash"]


@pytest.mark.parametrize("written", [0, 12])
async def test_killed_while_writing(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], written: int
) -> None:
    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.WRITING)
        await run.until(
            lambda: run.now.groups_written >= written and holders(run, LeaseKind.WRITE), f"{written} groups"
        )
        assert run.local.machine.state.phase is Phase.WRITING
        run.kill(holders(run, LeaseKind.WRITE)[0])

    end = await disturbed(bench, wide, kill)
    assert end.workers_lost == 1
    # Half way it may have been at the last group that it had, and its word that it is written on the way.
    assert end.splits_redone > 0 or written
    assert sums(bench.out) == undisturbed["hash"]


@pytest.mark.parametrize("whom", ["the committer", "the other", "both"])
async def test_killed_while_committing(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    struck_file = bench.root / "struck"
    held = f"""
import os, time
from shuffle_worker.storage.local import LocalStorage
put = LocalStorage.put
def once_struck(storage, path, data):
    end = time.monotonic() + 30
    while path.endswith("_manifest.json") and not os.path.exists({str(struck_file)!r}) and time.monotonic() < end:
        time.sleep(0.01)
    put(storage, path, data)
LocalStorage.put = once_struck
"""
    for name, value in bench.inject(held).items():
        monkeypatch.setenv(name, value)

    async def kill(run: Watched) -> None:
        await run.until(lambda: holders(run, LeaseKind.COMMIT), "a commit lease")
        (committer,) = holders(run, LeaseKind.COMMIT)
        assert run.local.machine.state.phase is Phase.COMMITTING
        struck = {"the committer": [committer], "the other": [others(run, committer)], "both": list(run.pids())}[whom]
        run.kill(*struck)
        struck_file.touch()

    end = await disturbed(bench, wide, kill)
    assert sums(bench.out) == undisturbed["hash"]
    if whom != "the other":  # the commit may have gone through without it
        assert end.workers_lost >= 1


async def test_killed_while_older_output_is_replaced(
    bench: Bench,
    wide: Path,
    events: Path,
    undisturbed: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some files are the new ones already, others still in staging: whoever comes next goes on from there."""
    bench.complete(bench.job(HASH, events, {"partitions": 30}), workers=1)
    old = sums(bench.out)
    slow = """
import time
from shuffle_worker.storage.local import LocalStorage
move = LocalStorage.move
def slowly(*arguments):
    time.sleep(0.4)  # sixteen at a time: the first of them are there long before the last
    move(*arguments)
LocalStorage.move = slowly
"""
    for name, value in bench.inject(slow).items():
        monkeypatch.setenv(name, value)

    async def kill(run: Watched) -> None:
        staged = lambda: len(list(bench.out.glob("_shuffle-*/part-*")))  # noqa: E731
        await run.until(lambda: run.local.machine.state.phase is Phase.COMMITTING and 0 < staged() < 24, "half of it")
        assert not (bench.out / "_SUCCESS").exists()
        run.kill(*run.pids())

    job = bench.loaded(bench.job(HASH, wide, {**OUTPUT, "onExisting": "Overwrite"}))
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost >= 1
    assert sums(bench.out) == undisturbed["hash"] != old


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.WRITING])
async def test_all_workers_killed_at_once(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], phase: Phase
) -> None:
    async def kill(run: Watched) -> None:
        await run.until_phase(phase)
        await ready(run)
        await run.until(lambda: run.now.splits_done >= 2, "two splits")
        assert run.local.machine.state.phase is phase
        run.kill(*run.pids())

    end = await disturbed(bench, wide, kill)
    assert end.workers_lost == 2
    assert end.splits_redone > 0
    assert sums(bench.out) == undisturbed["hash"]


async def test_killed_again_and_again(bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]]) -> None:
    """Whoever is there, whenever something was achieved since the last time; also the last one."""
    chance = random.Random(7)

    async def kill(run: Watched) -> None:
        for number in range(1, 6):
            before = run.now.splits_done, run.now.groups_written

            def achieved(before: tuple[int, int] = before) -> bool:
                now = run.now.splits_done, run.now.groups_written
                return now != before and now[0] > 0 and bool(set(run.pids()) & set(run.local.machine.state.members))

            await run.until(achieved, "progress")
            run.kill(chance.choice(sorted(set(run.pids()) & set(run.local.machine.state.members))))
            await run.until(lambda number=number: run.now.workers_lost >= number, f"loss {number}")

    end = await disturbed(bench, wide, kill)
    assert end.workers_lost == 5
    assert sums(bench.out) == undisturbed["hash"]


UNHURRIED = """\
import time
from shuffle_worker.transfer import steps_ahead
_read_on = steps_ahead.measured
steps_ahead.measured = lambda *given: (time.sleep(0.1), _read_on(*given))[1]
"""
"""Runs in every worker: reading takes long enough for a test to see all of them at it."""


@pytest.mark.parametrize("whom", ["the owner", "another"])
async def test_one_owner_among_three(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], whom: str
) -> None:
    """One file has one owner. Who owns nothing is not missed: nothing is read again but what it had in hand."""

    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await ready(run, 3)
        await run.until(lambda: run.now.splits_done >= 3 and len(holders(run, LeaseKind.TRANSFER)) == 3, "three splits")
        ledger = run.local.machine.state.ledger
        assert ledger is not None
        (owner,) = set(ledger.facts.owner)
        run.kill(owner if whom == "the owner" else others(run, owner))

    bench.inject(UNHURRIED)
    job = bench.loaded(bench.job(ONE_FILE, wide, {"partitions": 1}), workers=3)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == 1
    assert (end.splits_redone > 0) == (whom == "the owner")
    assert sums(bench.out) == undisturbed["sort"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("random", LeaseKind.TRANSFER),
        ("random", LeaseKind.WRITE),
        ("cluster", LeaseKind.TRANSFER),
        ("computed", LeaseKind.TRANSFER),
    ],
)
async def test_rows_with_a_key_of_their_own(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], name: str, kind: LeaseKind
) -> None:
    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.splits_done >= 2 and holders(run, kind), f"a {kind} lease")
        run.kill(holders(run, kind)[0])

    job = bench.loaded(bench.job(KEYED[name], source_of(name, wide), {"partitions": 6}), workers=3)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == 1
    assert sums(bench.out) == undisturbed[name]


IMPATIENT = Settings(silence=2.0, poll=0.5, startup_deadline=PATIENCE)


async def test_a_stopped_worker_is_replaced(bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]]) -> None:
    async def stop(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await ready(run)
        await run.until(lambda: run.now.splits_done >= 2, "two splits")
        run.kill(1, number=signal.SIGSTOP)
        await run.until(lambda: run.now.workers_lost, "it to be missed")

    end = await disturbed(bench, wide, stop, IMPATIENT)
    assert end.workers_lost >= 1
    assert sums(bench.out) == undisturbed["hash"]


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.WRITING])
async def test_a_zombie_does_no_harm(
    bench: Bench, wide: Path, undisturbed: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    """Nobody can end the stopped process, as on a node that is cut off; it wakes up when others have its work."""
    monkeypatch.setattr(LocalLauncher, "_signal", lambda *_: None)
    zombie = 0

    async def stop(run: Watched) -> None:
        nonlocal zombie
        await run.until_phase(phase)
        await ready(run)
        await run.until(
            lambda: run.now.splits_done >= 2 and holders(run, LeaseKind.TRANSFER, LeaseKind.WRITE), "two splits"
        )
        struck = holders(run, LeaseKind.TRANSFER, LeaseKind.WRITE)[-1]
        zombie = run.pid(struck)
        run.kill(struck, number=signal.SIGSTOP)
        await run.until(lambda: run.now.workers_lost, "it to be missed")
        os.kill(zombie, signal.SIGCONT)

    end = await disturbed(bench, wide, stop, IMPATIENT)
    assert end.workers_lost == 1
    assert sums(bench.out) == undisturbed["hash"]
    wait_until(lambda: zombie not in processes(bench.mark), "the zombie to go by itself")
