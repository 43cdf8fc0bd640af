"""Steps are computed ahead of the event loop, two at a time, to the end or to an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from shuffle_worker.transfer.steps_ahead import StepsAhead
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.work import Step


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """As the simulation runs what a thread does."""
    await asyncio.sleep(0)
    return function(*arguments)


def nothing() -> None:
    pass


class Source:
    """Steps of 0, 1, 2, ... rows. begun: set when a step is begun. fails: the step that raises."""

    def __init__(self, count: int, fails: int = -1) -> None:
        self.begun = [Event() for _ in range(count + 1)]
        self.go_on: Event | None = None
        self._count = count
        self._fails = fails

    def __iter__(self) -> Iterator[Step]:
        for number in range(self._count):
            self.begun[number].set()
            if self.go_on is not None:
                assert self.go_on.wait(10)
            if number == self._fails:
                raise OSError(f"step {number}")
            yield Step([], number, 0)
        self.begun[self._count].set()

    @property
    def many(self) -> int:
        """Steps that were begun."""
        return sum(one.is_set() for one in self.begun)


@pytest.mark.parametrize("run", [asyncio.to_thread, at_once])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_every_step_comes_in_its_turn(run: Run, count: int) -> None:
    steps = StepsAhead(iter(Source(count)), run, nothing)
    found = []
    while (step := (await steps.next())[0]) is not None:
        found.append(step.rows)
    await steps.close()
    assert found == list(range(count))


async def test_the_thread_does_not_wait_for_the_event_loop() -> None:
    source = Source(5)
    steps = StepsAhead(iter(source), asyncio.to_thread, nothing)
    await steps.next()
    assert source.begun[1].wait(10), "the event loop does nothing else meanwhile"
    await steps.close()


@pytest.mark.parametrize("run", [asyncio.to_thread, at_once])
async def test_there_are_never_more_than_two(run: Run) -> None:
    source = Source(9)
    steps = StepsAhead(iter(source), run, nothing)
    for given in range(8):
        await steps.next()
        assert steps._run is not None
        await asyncio.wait([steps._run])
        assert source.many == given + 2, "one that is sent, one that waits"
    await steps.close()


@pytest.mark.parametrize("run", [asyncio.to_thread, at_once])
async def test_that_all_are_computed_is_said_while_the_last_ones_wait(run: Run) -> None:
    computed = asyncio.Event()
    steps = StepsAhead(iter(Source(1)), run, computed.set)
    waiting = asyncio.ensure_future(steps.next())
    await asyncio.wait_for(computed.wait(), 10)
    step, _ = await waiting
    assert step is not None
    assert (await steps.next())[0] is None
    await steps.close()


@pytest.mark.parametrize("run", [asyncio.to_thread, at_once])
@pytest.mark.parametrize("fails", [0, 1, 4])
async def test_an_error_comes_in_its_turn(run: Run, fails: int) -> None:
    steps = StepsAhead(iter(Source(6, fails)), run, nothing)
    for number in range(fails):
        step, _ = await steps.next()
        assert step is not None
        assert step.rows == number
    with pytest.raises(OSError, match=f"step {fails}"):
        await steps.next()
    await steps.close()


async def test_a_lease_that_is_taken_away_ends_with_its_step() -> None:
    source = Source(9)
    source.go_on = Event()
    steps = StepsAhead(iter(source), asyncio.to_thread, nothing)
    waiting = asyncio.ensure_future(steps.next())
    await asyncio.to_thread(source.begun[0].wait, 10)
    waiting.cancel()
    closing = asyncio.ensure_future(steps.close())
    await asyncio.sleep(0)
    assert not closing.done(), "a thread cannot be stopped"
    source.go_on.set()
    await closing
    assert source.many == 1


async def test_one_that_never_began_can_be_closed() -> None:
    await StepsAhead(iter(Source(1)), asyncio.to_thread, nothing).close()
