"""Blocks: as few as needed, reused last in first out, and never a page more than the budget."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_worker.store.arena import LARGEST_BLOCK, PAGE, Arena, Chain, block_size

MIB = 1 << 20


def contents(arena: Arena, chain: Chain) -> bytes:
    return b"".join(map(bytes, arena.views(chain, 0, chain.length)))


@given(st.integers(1, 1 << 40), st.integers(0, 1 << 20))
def test_half_filled_blocks_cannot_eat_the_budget(budget: int, buckets: int) -> None:
    block = block_size(budget, buckets)
    assert PAGE <= block <= LARGEST_BLOCK
    assert block % PAGE == 0
    assert block == PAGE or block * buckets <= budget / 4


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=100)), max_size=40), st.integers(1, 50))
def test_chains_keep_their_bytes_apart(appends: list[tuple[int, bytes]], block: int) -> None:
    arena = Arena(100 * 40 + 4 * 50, block)
    chains = [Chain(0) for _ in range(4)]
    expected = [b""] * 4
    for number, data in appends:
        arena.append(chains[number], data)
        expected[number] += data
    assert [contents(arena, chain) for chain in chains] == expected
    used = sum(-(-len(data) // block) for data in expected)
    assert arena.free == arena.blocks - used
    arena.close()


@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_part_of_a_chain_can_be_viewed(data: bytes, draw: st.DataObject) -> None:
    arena = Arena(1000, 7)
    other, chain = Chain(0), Chain(0)
    for at in range(0, len(data), 11):  # blocks of two chains in turns: neighbours in one are none in the arena
        arena.append(chain, data[at : at + 11])
        arena.append(other, b"-" * 11)
    start = draw.draw(st.integers(0, len(data) - 1))
    length = draw.draw(st.integers(0, len(data) - start))
    assert b"".join(map(bytes, arena.views(chain, start, length))) == data[start : start + length]
    arena.close()


def test_neighbouring_blocks_are_one_view() -> None:
    arena = Arena(1000, 10)
    chain = Chain(0)
    arena.append(chain, bytes(95))
    assert len(list(arena.views(chain, 0, 95))) == 1
    arena.give_back(chain)
    again = Chain(0)
    arena.append(again, bytes(95))
    assert len(list(arena.views(again, 0, 95))) == 1, "what was given back together is taken together"
    arena.close()


def test_blocks_given_back_are_taken_before_new_ones() -> None:
    arena = Arena(1000, 10)
    for _ in range(50):
        chain = Chain(0)
        arena.append(chain, bytes(200))
        arena.give_back(chain)
    assert arena.touched == 200
    assert arena.free == 100
    arena.close()


def test_buffers_of_any_item_size() -> None:
    arena = Arena(1000, 16)
    chain = Chain(0)
    arena.append(chain, memoryview(bytes(range(24))).cast("q"))
    assert contents(arena, chain) == bytes(range(24))
    arena.close()


RESIDENT = """
import sys
from pathlib import Path
from shuffle_worker.store.spillstore import SpillStore
from shuffle_protocol.shards import Shard
from shuffle_protocol.messages import Attempt

def anonymous():
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))

def fill(budget, name):
    store = SpillStore(budget, folder / name, buckets)
    most = 0
    for number in range(3 * budget // size):
        store.append(Attempt(0, number // 100, 0), [Shard(number * 7919 % buckets, number, 1, 0, [payload], size)])
        if number % 50 == 0:
            most = max(most, anonymous())
    assert store.stats().spilled > budget // 2, store.stats()
    store.close()
    return most

folder = Path(sys.argv[1])
buckets, size, budget = map(int, sys.argv[2:])
payload = bytes(size)
for name in ("control", "measured"):
    (folder / name).mkdir()
fill(budget // 8, "control")
before = anonymous()
print(fill(budget, "measured") - before, anonymous() - before)
"""


@pytest.mark.parametrize(("buckets", "size"), [(16, 100_000), (512, 30_000), (4096, 4_000)])
def test_resident_memory_stays_within_the_budget(tmp_path: object, buckets: int, size: int) -> None:
    """Memory is a promise: three times the budget goes through a store in a process of its own.

    Only anonymous memory counts: how many pages of a library are resident is the kernel's choice. An eighth of the work
    comes first and takes what is taken once: threads' stacks, the allocator's arenas, code that is loaded late.
    """
    budget = 24 * MIB
    command = [sys.executable, "-c", RESIDENT, str(tmp_path), str(buckets), str(size), str(budget)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    most, after = map(int, done.stdout.split())
    index = 32 * (3 * budget // size) + 1024 * buckets  # docs/memory.md: what the index takes beside the budget
    freed = MIB  # an allocator keeps what is freed in whole arenas, of 1 MiB in CPython
    assert most < budget + index + freed
    assert after < index + freed, "a closed store gives it back"
