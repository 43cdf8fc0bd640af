"""A store that is away: how long it is waited for, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shuffle_protocol.errors import StorageUnavailable
from shuffle_worker.storage import retry
from shuffle_worker.storage.retry import FIRST, STEADY, Outage, Transient, bounds, retried


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.said.append(retry.OUTAGE.said)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(retry, "OUTAGE", Outage(made))
    return made


def away(until: float, clock: Clock, *, unknown: bool = False) -> Callable[[], str]:
    def call() -> str:
        if clock.now < until:
            raise Transient(StorageUnavailable("reading s3://a/b: http://s3 does not answer"), unknown=unknown)
        return "there"

    return call


@pytest.mark.parametrize("answered", [False, True], ids=["from the start", "in the middle"])
def test_a_store_that_is_away_for_three_minutes_is_waited_for(clock: Clock, answered: bool) -> None:
    def policy() -> retry.RetryPolicy:
        return bounds(900.0, STEADY if answered else FIRST)

    assert retried(away(180.0, clock), policy, clock.sleep, clock) == "there"
    assert clock.said[0] == ""  # a moment is not worth a word
    assert "http://s3 does not answer (tried again for 170 s)" in clock.said[-1]
    assert retry.OUTAGE.said == ""


@pytest.mark.parametrize("answered", [False, True])
def test_it_ends_when_the_patience_does(clock: Clock, answered: bool) -> None:
    with pytest.raises(StorageUnavailable, match=r"does not answer \(\d+ tries\)") as raised:
        retried(away(1e9, clock), lambda: bounds(60.0, STEADY if answered else FIRST), clock.sleep, clock)
    assert 45 < clock.now <= 60
    assert raised.value.refusal is not answered


def test_a_name_that_nobody_knows_is_said_at_once_until_the_store_has_answered(clock: Clock) -> None:
    with pytest.raises(StorageUnavailable):
        retried(away(1e9, clock, unknown=True), lambda: bounds(900.0, FIRST), clock.sleep, clock)
    assert clock.now <= FIRST.seconds
    assert retried(away(100.0, clock, unknown=True), lambda: bounds(900.0, STEADY), clock.sleep, clock)


@pytest.mark.parametrize("usual", [FIRST, STEADY])
def test_what_holds_where_the_job_says_nothing(usual: retry.RetryPolicy) -> None:
    assert bounds(0.0, usual) == usual
