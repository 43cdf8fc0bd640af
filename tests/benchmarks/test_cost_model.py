"""The cost model finds rates again that runs were made with, and its page says what was measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from benchmarks import sizing
from benchmarks.cost_model import GB, Node, Observed, Rates, cost, expected_wall, fit, least_store, predict, spilled

RATES = Rates("sort", start=0.7, worker=0.1, pass_=9.0, spill=2.0, crowd=1.25, sent=0.9, cpu=8.5)
MIB = 1 << 20


def run(gb: float, workers: int, memory: int) -> Observed:
    """As it would be on a machine with two cores."""
    store = least_store(memory)
    over = spilled(RATES.sent * gb, workers, store)
    wall = expected_wall(RATES, gb, workers, 2, store)
    cpu = RATES.cpu * gb + 1.0 * over + 1.4 + 0.2 * workers
    return Observed(workers, gb, min(workers, 2), workers >= 2, store, over, wall, cpu)


@pytest.mark.parametrize(
    ("memories", "spill", "sent"), [((512 * MIB, 8192 * MIB), 2.0, 0.9), ((8192 * MIB,), 0.0, 1.0)]
)
def test_rates_are_found_again(memories: tuple[int, ...], spill: float, sent: float) -> None:
    """Where nothing was spilled, nothing is known of spilling, nor of what stores receive."""
    runs = [run(gb, workers, memory) for gb in (0.2, 0.5, 1.0) for workers in (1, 2, 4) for memory in memories]
    found = fit("sort", runs)
    assert found.start == pytest.approx(RATES.start)
    assert found.worker == pytest.approx(RATES.worker)
    assert found.pass_ == pytest.approx(RATES.pass_)
    assert found.spill == pytest.approx(spill)
    assert found.crowd == pytest.approx(RATES.crowd)
    assert found.sent == pytest.approx(sent)
    assert found.cpu == pytest.approx(RATES.cpu)


def test_noise_makes_no_rate_less_than_nothing() -> None:
    runs = [run(gb, 1, 8192 * MIB) for gb in (0.2, 0.5, 1.0)]
    slow_start = [replace(one, wall=one.wall - 0.9) for one in runs]
    found = fit("sort", slow_start)
    assert min(found.start, found.worker, found.pass_, found.spill, found.cpu) >= 0


NODE = Node("node", cores=10, memory=40e9, network=1e10, disk=1e10, store=1e10, price=2.0)


@pytest.mark.parametrize(
    ("change", "bound"),
    [({}, "processor"), ({"network": 1e7}, "network"), ({"disk": 1e7}, "disk"), ({"store": 1e7}, "store")],
)
def test_the_slowest_decides(change: dict[str, float], bound: str) -> None:
    node = replace(NODE, **change)
    found = predict(RATES, 1000.0, 5, node, 0.5)
    assert found.bound == bound
    assert found.wall > RATES.start + found.processor * 0.999
    assert cost(found, 5, node) == pytest.approx(5 * 2.0 * found.wall / 3600)


def test_twice_the_nodes_halve_the_work_of_each() -> None:
    few, many = (predict(RATES, 1000.0, nodes, NODE, 0.5) for nodes in (5, 10))
    assert many.store == pytest.approx(few.store / 2)
    assert many.processor < few.processor / 2  # less is spilled, too


def test_what_fits_is_not_spilled() -> None:
    assert spilled(0.1, 2, least_store(512 * MIB)) == 0
    assert spilled(10.0, 2, least_store(512 * MIB)) == pytest.approx(10 - 2 * 0.35 * 382 * MIB / GB)


def test_the_page_says_what_was_measured() -> None:
    text = sizing.PAGE.read_text(encoding="utf-8")
    assert sizing.page(text, json.loads(sizing.MEASURED.read_text())) == text, "run python -m benchmarks.sizing --page"
