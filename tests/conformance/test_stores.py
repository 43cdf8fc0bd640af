"""What any store must do, run against each implementation; the contract is in `shuffle_worker.store.store`.

A store is given as a factory of (budget, folder); add one to `STORES` and it runs all of this.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shuffle_protocol.checksum import checksum
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.store.spill import SpillLog
from shuffle_worker.store.spillstore import SpillStore
from shuffle_worker.store.store import CorruptBlock, Store

Factory = Callable[[int, Path], Store]


class PastLog(SpillLog):
    """Reads everything past the page cache, whatever was written past it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, past=True, least=1)
        self._pace.written = 1


STORES: dict[str, Factory] = {
    "spill": lambda budget, folder: SpillStore(budget, folder, 8),
    "spill, blocks of 16 bytes": lambda budget, folder: SpillStore(budget, folder, 8, block=16),
    "spill, more buckets than it was told": lambda budget, folder: SpillStore(budget, folder, 1, block=64),
    "spill, read past the page cache": lambda budget, folder: SpillStore(budget, folder, 8, log=PastLog(folder)),
}

FIRST = Attempt(0, 0, 0)


def shard(bucket: int, sequence: int, data: bytes, rows: int = 1) -> Shard:
    """A shard whose payload comes in two buffers where there are bytes enough."""
    middle = len(data) // 2
    payload = [data[:middle], memoryview(data)[middle:]] if middle else [data]
    return Shard(bucket, sequence, rows, checksum([data]), payload, len(data))


def contents(store: Store, bucket: int, superseded: list[Attempt] | None = None) -> list[tuple[int, int, int, bytes]]:
    """(split, sequence, rows, bytes) of every shard, read all at once."""
    found = store.shards(bucket, superseded or [])
    into = bytearray(sum(each.length for each in found))
    store.read(bucket, found, memoryview(into))
    return list(cut(found, into))


def cut(found: list[StoredShard], data: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    for each in found:
        yield each.split, each.sequence, each.rows, bytes(data[at : at + each.length])
        at += each.length


@pytest.fixture(params=STORES)
def factory(request: pytest.FixtureRequest) -> Factory:
    return STORES[request.param]


@pytest.fixture
def store(factory: Factory, tmp_path: Path) -> Iterator[Store]:
    made = factory(8192, tmp_path)
    yield made
    made.close()
    assert not list(tmp_path.iterdir()), "a closed store leaves nothing on scratch"


def test_what_goes_in_comes_out(store: Store) -> None:
    store.append(FIRST, [shard(1, 0, b"one"), shard(2, 1, b"two"), shard(1, 2, b"three", rows=7)])
    assert contents(store, 1) == [(0, 0, 1, b"one"), (0, 2, 7, b"three")]
    assert contents(store, 2) == [(0, 1, 1, b"two")]
    assert contents(store, 0) == []


def test_a_shard_without_bytes_is_a_shard(store: Store) -> None:
    store.append(FIRST, [shard(0, 0, b"", rows=5), shard(0, 1, b"x")])
    assert contents(store, 0) == [(0, 0, 5, b""), (0, 1, 1, b"x")]


def test_order_is_that_of_split_and_sequence_not_of_arrival(store: Store) -> None:
    for split, sequence in [(3, 1), (1, 7), (3, 0), (2, 4), (1, 2), (10, 0)]:
        store.append(Attempt(0, split, 0), [shard(0, sequence, b"%d.%d" % (split, sequence))])
    expected = [(1, 2), (1, 7), (2, 4), (3, 0), (3, 1), (10, 0)]
    assert [(split, sequence) for split, sequence, _, _ in contents(store, 0)] == expected
    assert [data for _, _, _, data in contents(store, 0)] == [b"%d.%d" % pair for pair in expected]


def test_void_attempts_are_left_out(store: Store) -> None:
    store.append(Attempt(0, 1, 0), [shard(0, 0, b"first try")])
    store.append(Attempt(0, 1, 1), [shard(0, 0, b"second try")])
    store.append(Attempt(2, 4, 0), [shard(0, 0, b"other tranche")])
    superseded = [Attempt(0, 1, 0), Attempt(9, 9, 9)]
    assert [data for *_, data in contents(store, 0, superseded)] == [b"second try", b"other tranche"]
    assert len(contents(store, 0)) == 3


def test_some_of_the_shards_in_any_order(store: Store) -> None:
    data = [bytes([number]) * (number + 1) * 37 for number in range(40)]
    store.append(FIRST, [shard(0, number, data[number]) for number in range(40)])
    picked = random.Random(5).sample(store.shards(0), 17)
    into = bytearray(sum(each.length for each in picked))
    store.read(0, picked, memoryview(into))
    assert [got for *_, got in cut(picked, into)] == [data[each.sequence] for each in picked]


def test_what_fits_writes_nothing_to_scratch(store: Store, tmp_path: Path) -> None:
    store.append(FIRST, [shard(bucket, bucket, b"x" * 512) for bucket in range(2)])
    assert not list(tmp_path.iterdir())
    stats = store.stats()
    assert (stats.held, stats.in_memory, stats.spilled) == (1024, 1024, 0)


def test_more_than_the_budget_is_kept_and_read_back(store: Store) -> None:
    chance = random.Random(3)
    expected: dict[int, list[bytes]] = {}
    for number in range(100):
        bucket, data = chance.randrange(5), chance.randbytes(chance.randrange(1, 2000))
        expected.setdefault(bucket, []).append(data)
        store.append(Attempt(0, number, 0), [shard(bucket, 0, data)])
        assert store.stats().in_memory <= 8192
    stats = store.stats()
    assert stats.spilled > 0
    assert stats.held == sum(len(data) for each in expected.values() for data in each)
    for bucket, data_of in expected.items():
        assert [data for *_, data in contents(store, bucket)] == data_of


def test_shards_larger_than_the_budget(store: Store) -> None:
    chance = random.Random(4)
    data = [chance.randbytes(20_000) for _ in range(3)]
    store.append(FIRST, [shard(0, 0, b"small"), shard(1, 1, data[0]), shard(0, 2, data[1])])
    store.append(FIRST, [shard(0, 3, b"small too")])
    store.append(FIRST, [shard(0, 4, data[2])])
    assert [got for *_, got in contents(store, 0)] == [b"small", data[1], b"small too", data[2]]
    assert [got for *_, got in contents(store, 1)] == [data[0]]


def test_dropped_buckets_are_gone_and_make_room(store: Store) -> None:
    store.append(FIRST, [shard(bucket, bucket, b"x" * 700) for bucket in range(4)])
    store.drop([0, 2, 77])
    assert store.stats().held == 1400
    assert store.shards(0) == []
    for round_ in range(50):
        store.append(Attempt(0, round_, 0), [shard(0, 0, b"y" * 900)])
        store.drop([0])
    assert contents(store, 1) == [(0, 1, 1, b"x" * 700)]
    assert store.stats().spilled <= 2800, "memory that was freed is used again"


def test_a_handle_of_a_dropped_bucket_reads_nothing_else(store: Store) -> None:
    store.append(FIRST, [shard(0, 0, b"old")])
    old = store.shards(0)
    store.drop([0])
    with pytest.raises(LookupError):
        store.read(0, old, memoryview(bytearray(3)))
    store.append(FIRST, [shard(0, 0, b"new")])
    with pytest.raises(LookupError):
        store.read(0, old, memoryview(bytearray(3)))


def test_a_wrong_checksum_is_found_when_read(store: Store) -> None:
    store.append(FIRST, [shard(0, 0, b"good"), Shard(0, 1, 1, 12345, [b"bad"], 3)])
    found = store.shards(0)
    with pytest.raises(CorruptBlock) as caught:
        store.read(0, found, memoryview(bytearray(7)))
    assert caught.value.shard == found[1]
    assert caught.value.bucket == 0


def test_a_buffer_of_another_size_is_refused(store: Store) -> None:
    store.append(FIRST, [shard(0, 0, b"four")])
    with pytest.raises(ValueError, match="3 bytes"):
        store.read(0, store.shards(0), memoryview(bytearray(3)))


def test_the_caller_may_use_its_buffers_again(store: Store) -> None:
    buffer = bytearray(b"before")
    store.append(FIRST, [Shard(0, 0, 1, checksum([b"before"]), [memoryview(buffer)], 6)])
    buffer[:] = b"after!"
    assert contents(store, 0) == [(0, 0, 1, b"before")]


def test_nothing_works_after_close_and_closing_twice_is_fine(factory: Factory, tmp_path: Path) -> None:
    store = factory(4096, tmp_path)
    store.append(FIRST, [shard(0, 0, b"x" * 9000)])
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.append(FIRST, [shard(0, 0, b"x")])


def test_threads_append_read_and_drop_at_once(store: Store) -> None:
    """Each thread has a bucket that it fills, reads and drops, and one that all share."""
    start, failures = Barrier(4), []

    def work(me: int) -> None:
        try:
            chance = random.Random(me)
            start.wait()
            for round_ in range(6):
                expected = []
                for number in range(12):
                    data = chance.randbytes(chance.randrange(1, 900))
                    expected.append(data)
                    attempt = Attempt(round_, me * 100 + number, 0)
                    store.append(attempt, [shard(me, number, data), shard(7, number, data[::-1])])
                assert [data for *_, data in contents(store, me)] == expected
                store.drop([me])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [Thread(target=work, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(contents(store, 7)) == 4 * 6 * 12


class AnyHistory(RuleBasedStateMachine):
    """Whatever is appended, read and dropped, in whatever order: the same as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[int, dict[tuple[Attempt, int], bytes]] = {}
        self.sequence = 0
        self.store: Store | None = None

    @initialize(name=st.sampled_from(sorted(STORES)), budget=st.integers(1, 3000))
    def open(self, name: str, budget: int) -> None:
        self.store = STORES[name](budget, Path(self.folder.name))

    @rule(
        attempt=st.builds(Attempt, st.integers(0, 1), st.integers(0, 3), st.integers(0, 1)),
        sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 700)), max_size=8),
        fill=st.integers(0, 255),
    )
    def append(self, attempt: Attempt, sizes: list[tuple[int, int]], fill: int) -> None:
        assert self.store
        shards = []
        for bucket, size in sizes:
            data = bytes((fill + at) % 256 for at in range(size))
            shards.append(shard(bucket, self.sequence, data))
            self.model.setdefault(bucket, {})[attempt, self.sequence] = data
            self.sequence += 1
        self.store.append(attempt, shards)

    @rule(bucket=st.integers(0, 5), superseded=st.sets(st.builds(Attempt, st.just(0), st.integers(0, 3), st.just(1))))
    def read(self, bucket: int, superseded: set[Attempt]) -> None:
        assert self.store
        expected = [
            (attempt.split, sequence, 1, data)
            for (attempt, sequence), data in self.model.get(bucket, {}).items()
            if attempt not in superseded
        ]
        assert contents(self.store, bucket, list(superseded)) == sorted(expected)

    @rule(buckets=st.sets(st.integers(0, 5)))
    def drop(self, buckets: set[int]) -> None:
        assert self.store
        self.store.drop(buckets)
        for bucket in buckets:
            self.model.pop(bucket, None)

    @precondition(lambda self: self.store is not None)
    @invariant()
    def held_is_what_was_appended_and_not_dropped(self) -> None:
        assert self.store
        stats = self.store.stats()
        assert stats.held == sum(len(data) for each in self.model.values() for data in each.values())
        assert 0 <= stats.in_memory <= min(stats.held, 3000 + 4096)

    def teardown(self) -> None:
        if self.store:
            for bucket in list(self.model):
                self.read(bucket, set())
            self.store.close()
        self.folder.cleanup()


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyHistory = AnyHistory.TestCase
