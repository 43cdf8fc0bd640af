"""What is tried again, how often and how long, without waiting for it."""

from __future__ import annotations

import pytest

from shuffle_protocol.errors import AccessDenied, StorageUnavailable
from shuffle_worker.storage.retry import FIRST, STEADY, RetryPolicy, Transient, bounds, retried


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def busy(times: int, cost: float, clock: Clock) -> tuple[list[int], object]:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        clock.now += cost
        if len(calls) <= times:
            raise Transient(StorageUnavailable("busy"))
        return "done"

    return calls, call


def test_a_busy_store_is_outlasted() -> None:
    clock = Clock()
    calls, call = busy(6, 0.01, clock)
    assert retried(call, lambda: STEADY, clock.sleep, clock) == "done"  # type: ignore[arg-type]
    assert len(calls) == 7
    assert clock.now < STEADY.seconds


def test_a_day_of_patience_is_kept_to_its_end() -> None:
    clock, day = Clock(), 86_400.0
    _, call = busy(1 << 20, 0.01, clock)
    with pytest.raises(StorageUnavailable, match="busy"):
        retried(call, lambda: bounds(day, STEADY), clock.sleep, clock)  # type: ignore[arg-type]
    assert day - STEADY.cap - 1 < clock.now < day + STEADY.cap + 1


def test_tries_are_bounded_and_counted_in_the_message() -> None:
    clock = Clock()
    calls, call = busy(100, 0.01, clock)
    with pytest.raises(StorageUnavailable, match=rf"busy \({STEADY.tries} tries\)"):
        retried(call, lambda: STEADY, clock.sleep, clock)  # type: ignore[arg-type]
    assert len(calls) == STEADY.tries


@pytest.mark.parametrize(("policy", "refusal"), [(FIRST, True), (STEADY, False)])
def test_a_store_that_has_answered_before_is_no_reason_to_refuse_the_job(policy: RetryPolicy, refusal: bool) -> None:
    clock = Clock()
    _, call = busy(100, 0.01, clock)
    with pytest.raises(StorageUnavailable) as raised:
        retried(call, lambda: policy, clock.sleep, clock)  # type: ignore[arg-type]
    assert raised.value.refusal is refusal
    assert raised.value.retry


@pytest.mark.parametrize("cost", [0.0, 1.0, 4.0, 8.0])
def test_a_store_that_never_answered_is_given_up_within_ten_seconds(cost: float) -> None:
    clock = Clock()
    _, call = busy(100, cost, clock)
    with pytest.raises(StorageUnavailable):
        retried(call, lambda: FIRST, clock.sleep, clock)  # type: ignore[arg-type]
    assert clock.now <= 10


def test_what_no_try_would_mend_is_raised_at_once() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise AccessDenied("no")

    with pytest.raises(AccessDenied):
        retried(call, lambda: STEADY)
    assert len(calls) == 1


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_pauses_grow_to_a_cap_with_jitter(draw: float) -> None:
    policy = RetryPolicy(tries=10, seconds=100, base=1, cap=8)
    pauses = [policy.pause(attempt, lambda: draw) for attempt in range(6)]
    assert pauses == [value * (0.5 + 0.5 * draw) for value in (1, 2, 4, 8, 8, 8)]
