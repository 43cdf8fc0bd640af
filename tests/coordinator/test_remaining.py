"""The time that is left: even where things go as expected, and nothing is said without something to judge by."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from shuffle_operator.coordinator.remaining import seconds_left
from shuffle_operator.coordinator.status import snapshot
from shuffle_protocol.messages import Counters, LeaseKind, Phase
from tests.coordinator.builders import summary, transferring


def told(
    read: float, wrote: float, reading: float, writing: float | None, share: float, expected: float
) -> float | None:
    return seconds_left(read=read, wrote=wrote, reading=reading, writing=writing, write_share=share, expected=expected)


def run(reading: float, writing: float, share: float, expected: float, step: float = 1.0) -> list[float]:
    """What is said every second of a job that takes so long."""
    found: list[float | None] = []
    at = step
    while at < reading + writing - step:
        if at < reading:
            found.append(told(at / reading, 0.0, at, None, share, expected))
        else:
            found.append(told(1.0, (at - reading) / writing, reading, at - reading, share, expected))
        at += step
    return [left for left in found if left is not None]


@pytest.mark.parametrize(
    ("reading", "writing", "share", "expected"),
    [(55.0, 45.0, 0.45, 45.0), (550.0, 450.0, 0.45, 1.0), (2.0, 300.0, 0.99, 300.0), (30.0, 30.0, 0.5, 1e9)],
)
def test_it_falls_evenly_where_the_plan_is_right(reading: float, writing: float, share: float, expected: float) -> None:
    found = run(reading, writing, share, expected)
    assert found[0] == pytest.approx(reading + writing - 1, rel=0.06)
    for before, after in itertools.pairwise(found):
        assert after < before + 1e-9
    assert found[-1] < 5


@pytest.mark.parametrize("wrong", [0.1, 10.0])
def test_it_is_set_right_where_the_plan_is_wrong_and_stays_so(wrong: float) -> None:
    """From a quarter of the calls on."""
    reading, writing = 2.0, 300.0
    found = run(reading, writing, 0.99, writing * wrong)
    late = found[len(found) // 4 :]
    for at, left in enumerate(late):
        right = writing * 3 / 4 - at
        assert left == pytest.approx(right, rel=1.7 if wrong > 1 else 0.3, abs=5)
    for before, after in itertools.pairwise(late):
        assert after < before


def test_nothing_is_said_without_something_to_judge_by() -> None:
    assert told(0.0, 0.0, 10, None, 0.45, 45) is None
    assert told(0.04, 0.0, 10, None, 0.45, 45) is None
    assert told(1.0, 0.0, 10, 60, 0.45, 45) is None
    assert told(1.0, 1.0, 10, 60, 0.45, 45) == 0


def test_groups_in_hand_count_in_the_percent_and_calls_are_the_greater_part() -> None:
    p, (one, two) = transferring()
    p.state.summary = msgspec.structs.replace(summary(), write_share=0.9, seconds_after=270.0, seconds=300.0)
    while p.state.phase is Phase.TRANSFERRING:
        for puppet in (one, two):
            lease = puppet.ask()
            if lease is not None and lease.kind is LeaseKind.TRANSFER:
                p.later(1.0)
                puppet.finish(lease, 10)
    assert p.state.percent == pytest.approx(9.9)
    shown = []
    for _ in range(10):
        p.later(27.0 / 4)
        for puppet in (one, two):
            puppet.counters = Counters(progress=puppet.counters.progress + 0.1)
            puppet.sync(free=0)
        now = snapshot(p.state, p.now)
        shown.append((now.progress, now.message))
    assert [percent for percent, _ in shown] == pytest.approx([9.9 + 99 * 0.9 * 0.05 * at for at in range(1, 11)])
    found = [re.search(r"about (\d+) (s|min) left", text) for _, text in shown]
    lefts = [int(one[1]) * (60 if one[2] == "min" else 1) for one in found if one is not None]
    assert len(lefts) == 10
    assert lefts == sorted(lefts, reverse=True)
