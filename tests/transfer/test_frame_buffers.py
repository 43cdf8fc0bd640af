"""Buffers for bodies of frames: used again for frames of about one size, and never many more bytes than the budget."""

from __future__ import annotations

import random

import pytest

from shuffle_worker.transfer.buffers import FrameBuffers

LIMIT = 1 << 20


def test_a_frame_of_about_the_same_size_gets_the_same_buffer() -> None:
    buffers = FrameBuffers(LIMIT)
    first = buffers.take(100_000)
    buffers.give(first)
    assert buffers.take(105_000) is first


def test_frames_that_fill_the_budget_get_the_buffers_of_those_before() -> None:
    buffers = FrameBuffers(LIMIT)
    taken = [buffers.take(LIMIT // 8) for _ in range(8)]
    for one in taken:
        buffers.give(one)
    again = [buffers.take(LIMIT // 8) for _ in range(8)]
    assert {id(one) for one in again} == {id(one) for one in taken}


def test_small_frames_leave_large_buffers_to_large_ones() -> None:
    """Otherwise every small frame on its way would cost the memory of a large one."""
    buffers = FrameBuffers(LIMIT)
    for _ in range(20):
        large = [buffers.take(LIMIT // 4) for _ in range(3)]
        small = [buffers.take(1_000) for _ in range(50)]
        for one in [*large, *small]:
            buffers.give(one)
        small = [buffers.take(1_000) for _ in range(50)]
        large = [buffers.take(LIMIT // 4) for _ in range(3)]
        assert buffers.held <= LIMIT + LIMIT // 4
        for one in [*large, *small]:
            buffers.give(one)


def test_a_frame_beyond_the_budget_is_kept_alone() -> None:
    buffers = FrameBuffers(LIMIT)
    large = buffers.take(4 * LIMIT)
    buffers.give(large)
    assert buffers.take(4 * LIMIT) is large
    buffers.give(large)
    buffers.take(10)
    assert buffers.held < LIMIT


@pytest.mark.parametrize("seed", range(5))
def test_never_much_more_than_the_budget(seed: int) -> None:
    chance = random.Random(seed)
    buffers, held, used = FrameBuffers(LIMIT), list[tuple[int, bytearray]](), 0
    for _ in range(500):
        size = chance.choice([1, 500, 20_000, LIMIT // 4, LIMIT // 3])
        while held and (used + size > LIMIT or chance.random() < 0.4):
            gone, buffer = held.pop(chance.randrange(len(held)))
            used -= gone
            buffers.give(buffer)
        buffer = buffers.take(size)
        assert len(buffer) >= size
        assert all(buffer is not other for _, other in held)
        held.append((size, buffer))
        used += size
        assert buffers.held <= LIMIT + LIMIT // 4 + 8


def test_fewer_buffers_are_kept_for_a_while() -> None:
    buffers = FrameBuffers(LIMIT)
    taken = [buffers.take(LIMIT // 8) for _ in range(8)]
    for one in taken[1:]:
        buffers.give(one)
    buffers.narrow(LIMIT // 4)
    assert buffers.held <= LIMIT // 4 + LIMIT // 16, "with the one that is in use"
    buffers.give(taken[0])
    buffers.widen()
    for one in [buffers.take(LIMIT // 8) for _ in range(8)]:
        buffers.give(one)
    assert buffers.held >= LIMIT
