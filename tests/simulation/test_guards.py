"""Each guard is needed, and the simulation would notice if it were gone: with it switched off a run goes wrong."""

from __future__ import annotations

import pytest

from tests.simulation.guards import GUARDS, without
from tests.simulation.model import Shape
from tests.simulation.scenario import Wrong, check, main
from tests.simulation.virtual import run_virtual
from tests.simulation.world import Faults, World

MOST_SEEDS = 2_000
STORM = Faults(lose=0.1, double=0.3, corrupt=0.05, delay=0.05, kill=0.6, freeze=0.1, coordinator=0.02)


def first_wrong(guard: str) -> int:
    with without(guard):
        for seed in range(MOST_SEEDS):
            try:
                check(seed)
            except Wrong:
                return seed
    pytest.fail(f"{guard}: {MOST_SEEDS} schedules, and nothing went wrong")


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_a_run_goes_wrong(guard: str) -> None:
    first_wrong(guard)


@pytest.mark.parametrize("guard", GUARDS)
def test_it_is_the_guard_that_was_missing(guard: str) -> None:
    check(first_wrong(guard))


def test_a_wrong_seed_is_replayed_with_its_trace_by_the_command_that_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["0", "40", "--without", "dedupe", "--processes", "1"]) == 1
    told = capsys.readouterr().out
    command = told.splitlines()[-1]
    assert command.startswith("replay: make simulate SEED=")
    seed = command.split("SEED=")[1].split()[0]
    assert command.endswith("SCHEDULES=1 WITHOUT=dedupe")
    assert main([seed, "1", "--without", "dedupe"]) == 1
    again = capsys.readouterr().out
    assert again == told
    assert f"wrong: seed {seed}" in again
    assert "start 0 as i" in again
    assert main([seed, "1"]) == 0


def test_a_storm_is_survived_with_all_guards() -> None:
    for seed in range(20):
        world = World(seed, Shape(workers=3, splits=8, rows=30, groups=5), STORM)
        run_virtual(world.run(), 3600.0)
        assert world.objects.committed, world.trace[-10:]
