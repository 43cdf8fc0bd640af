"""The budget of bytes that frames wait for: who comes first, and what becomes of those that are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from shuffle_worker.transfer.budget import ByteBudget


async def waiting(budget: ByteBudget, *sizes: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(budget.take(size)) for size in sizes]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("given", [0, 3, 5, 10])
@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_one_that_is_cancelled_in_the_moment_in_which_bytes_come_back(given: int, gone: int) -> None:
    budget = ByteBudget(10)
    await budget.take(10)
    tasks = await waiting(budget, 5, 6, 5)
    tasks[gone].cancel()
    if given:
        budget.give(given)
    with pytest.raises(asyncio.CancelledError):
        await tasks[gone]
    budget.give(10 - given)
    for size, task in zip((5, 6, 5), tasks, strict=True):
        if task is not tasks[gone]:
            await asyncio.wait_for(task, 1)
            budget.give(size)
    assert budget.used == 0
    assert budget.take_now(10)


async def test_first_come_first_served() -> None:
    budget = ByteBudget(10)
    await budget.take(8)
    large, small = await waiting(budget, 9, 1)
    assert not small.done()  # it would fit
    budget.give(8)
    await asyncio.sleep(0)
    assert large.done()
    assert small.done()


async def test_a_budget_may_be_narrow_for_a_while() -> None:
    budget = ByteBudget(10)
    await budget.take(6)
    budget.narrow(4)
    assert budget.used == 6, "what is out stays out"
    first, second, third = await waiting(budget, 3, 2, 3)
    budget.give(6)
    await asyncio.sleep(0)
    assert (first.done(), second.done(), third.done()) == (True, False, False)
    budget.widen()
    await asyncio.sleep(0)
    assert (second.done(), third.done()) == (True, True)
    budget.give(8)
    budget.narrow(100)
    assert budget.limit == 10, "never wider than at the start"


async def test_what_is_larger_than_the_budget_goes_alone() -> None:
    budget = ByteBudget(10)
    await budget.take(5)
    (large,) = await waiting(budget, 100)
    budget.give(5)
    await large
    assert not budget.take_now(1)
