"""Whole jobs whose shards go by object storage: the same bytes as otherwise, and a lost worker costs its leases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.jobs.data import WIDE_ROWS
from tests.jobs.harness import Bench, Watched, parts, run_watched, sums

from shuffle_protocol.messages import LeaseKind, Phase

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
SORT: dict[str, Any] = {"sort": {"by": [{"column": "score"}]}}
OUTPUT = {"partitions": 24, "sortWithin": ["score"]}


@pytest.fixture(scope="module")
def between_peers(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> dict[str, str]:
    bench = Bench(tmp_path_factory.mktemp("peers"), "")
    bench.complete(bench.job(HASH, wide, OUTPUT, method="PeerToPeer"))
    return sums(bench.out)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bytes(bench: Bench, wide: Path, between_peers: dict[str, str], workers: int) -> None:
    end = bench.complete(bench.job(HASH, wide, OUTPUT, method="ObjectStore"), workers=workers)
    assert end.rows_read == end.rows_written == WIDE_ROWS
    assert sums(bench.out) == between_peers
    assert list(bench.out.glob("_shuffle-*")) == []


def test_many_small_partitions(bench: Bench, events: Path) -> None:
    output = {"partitions": 1_000}
    bench.complete(bench.job(HASH, events, output, method="PeerToPeer"))
    before = sums(bench.out)
    bench.complete(bench.job(HASH, events, {**output, "onExisting": "Overwrite"}, method="ObjectStore"))
    assert sums(bench.out) == before
    assert len(parts(bench.out)) == 1_000


WINDOW: dict[str, Any] = {
    "window": {"by": ["user"], "orderBy": [{"column": "at"}], "compute": {"nr": "row_number()", "sum": "sum(score)"}}
}


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ({"repartition": {"random": {"seed": 1}}}, {}),
        ({"repartition": {"by": ["shout"]}}, {"compute": {"shout": "lower(name) || '!'"}}),
        (WINDOW, {}),
    ],
    ids=["random", "computed", "window"],
)
def test_keys_that_are_in_no_file(bench: Bench, events: Path, operation: dict[str, Any], more: dict[str, Any]) -> None:
    found = []
    for method in ("PeerToPeer", "ObjectStore"):
        output = {"path": str(bench.root / method), "partitions": 3}
        bench.complete(bench.job(operation, {"path": str(events), **more}, output, method=method))
        found.append(sums(bench.root / method))
    assert found[0] == found[1]


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.WRITING])
async def test_a_lost_worker_costs_its_leases(
    bench: Bench, wide: Path, between_peers: dict[str, str], phase: Phase
) -> None:
    async def kill(run: Watched) -> None:
        await run.until_phase(phase)
        kind = LeaseKind.TRANSFER if phase is Phase.TRANSFERRING else LeaseKind.WRITE
        members = run.local.machine.state.members

        def busy() -> list[int]:
            return [w for w in run.pids() if w in members and any(x.kind is kind for x in members[w].holding)]

        await run.until(lambda: len(run.pids()) == 2 and run.now.splits_done >= 3 and busy(), "three splits")
        assert run.local.machine.state.phase is phase
        run.kill(busy()[0])

    job = bench.loaded(bench.job(HASH, wide, OUTPUT, method="ObjectStore"))
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == 1
    assert end.splits_redone == 0  # what was finished is in the store
    assert sums(bench.out) == between_peers


def test_a_failed_job_leaves_nothing(bench: Bench, wide: Path) -> None:
    files = sorted(wide.glob("*.parquet"))
    source = bench.root / "in"
    source.mkdir()
    for file in files[:3]:
        (source / file.name).write_bytes(file.read_bytes())
    damaged = bytearray(files[3].read_bytes())
    damaged[200:2_000] = bytes(1_800)
    (source / files[3].name).write_bytes(damaged)
    outcome = bench.run(bench.job(SORT, source, {"partitions": 24}, method="ObjectStore"))
    assert outcome.code != 0
    assert files[3].name in outcome.err
    assert not bench.out.exists() or list(bench.out.iterdir()) == []
