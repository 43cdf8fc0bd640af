"""Shards that were sent are found again for the groups that a record covers, whatever else is dropped or goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest
import xxhash
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shuffle_protocol.shards import Shard
from shuffle_worker.runtime.direct import PAGE
from shuffle_worker.store.retained import Record, RetainedShards
from shuffle_worker.store.spill import SpillLog
from shuffle_worker.store.store import CorruptBlock

GROUPS = 4


def group_of(bucket: int) -> int:
    return bucket // 2


def shard(bucket: int, sequence: int, data: bytes) -> Shard:
    return Shard(bucket, sequence, len(data), xxhash.xxh3_64_intdigest(data), [data], len(data))


def some(split: int, size: int = 9000, groups: Collection[int] = range(GROUPS)) -> list[Shard]:
    return [
        shard(bucket, sequence, bytes([split, bucket, sequence]) * size)
        for sequence in range(2)
        for bucket in range(2 * GROUPS)
        if group_of(bucket) in groups
    ]


def found(kept: RetainedShards, split: int, groups: Collection[int]) -> list[tuple[int, int, bytes]] | None:
    record = kept.covering(split, groups)
    if record is None:
        return None
    return [shard for part in kept.read(record, groups) for shard in read_out(part)]


def covering(kept: RetainedShards, split: int, groups: Collection[int]) -> Record:
    record = kept.covering(split, groups)
    assert record is not None
    return record


def read_out(shards: Sequence[Shard]) -> list[tuple[int, int, bytes]]:
    return [(s.bucket, s.sequence, bytes(s.payload[0])) for s in shards]


def plain(shards: Sequence[Shard], groups: Collection[int]) -> list[tuple[int, int, bytes]]:
    return [(s.bucket, s.sequence, bytes(s.payload[0])) for s in shards if group_of(s.bucket) in groups]


class BadLog(SpillLog):
    """error: what the next write raises."""

    error = 0

    def _pwritev(self, buffers: Sequence[memoryview], offset: int) -> int:
        if self.error:
            raise OSError(self.error, "made up")
        return super()._pwritev(buffers, offset)


class Paged(SpillLog):
    """through: bytes that went through the page cache."""

    through = 0

    def _pwritev(self, buffers: Sequence[memoryview], offset: int) -> int:
        done = super()._pwritev(buffers, offset)
        self.through += done
        return done


def keep_of(kept: RetainedShards, split: int, size: int) -> bool:
    record = kept.begin(split, range(GROUPS))
    kept.keep(record, some(split, size))
    return kept.finish(record, 5)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BadLog]:
    log = BadLog(tmp_path)
    yield log
    log.close()


def keep(kept: RetainedShards, split: int, groups: Collection[int] = range(GROUPS)) -> bool:
    record = kept.begin(split, groups)
    kept.keep(record, some(split, groups=groups))
    return kept.finish(record, 5)


def test_what_was_kept_is_found_for_any_groups_it_covers(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 3, {0, 1, 2})
    assert found(kept, 3, {1}) == plain(some(3), {1})
    assert found(kept, 3, {0, 2}) == plain(some(3), {0, 2})
    assert found(kept, 3, {2, 3}) is None
    assert found(kept, 4, {1}) is None
    assert kept.splits() == [3]


@pytest.mark.parametrize("size", [1, 5_000, 100_000, 300_000], ids=["less than a page", "pages", "about a MiB", "more"])
def test_whole_pages_are_kept_past_the_page_cache(tmp_path: Path, size: int) -> None:
    log = Paged(tmp_path)
    log._create()
    if not log.passes:
        pytest.skip("the file system of the test's folder has no O_DIRECT")
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep_of(kept, 1, size)
    assert keep_of(kept, 2, size)
    assert log.through < 2 * PAGE, "no more than the ends"
    for split in (1, 2):
        assert found(kept, split, {0, 3}) == plain(some(split, size), {0, 3})
    kept.close()


class Holes(SpillLog):
    """holes: where they were made, and how long they are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.holes: list[tuple[int, int]] = []

    def punch(self, offset: int, length: int) -> bool:
        self.holes.append((offset, length))
        return super().punch(offset, length)


def test_the_bytes_of_several_groups_are_freed_together(tmp_path: Path) -> None:
    """Of 32 groups a quarter, 8: those of neighbours lie beside each other."""
    log = Holes(tmp_path)
    kept = RetainedShards(log, 1 << 30, lambda bucket: bucket)
    record = kept.begin(1, range(32))
    kept.keep(record, [shard(bucket, bucket, bytes(1000)) for bucket in range(32)])
    assert kept.finish(record, 32)
    for group in range(7):
        kept.drop([group])
        assert kept.covering(1, {group}) is None, "dropped at once all the same"
    assert log.holes == []
    kept.drop([7])
    assert [length for _, length in log.holes] == [8000]
    assert kept.used == 24_000
    assert sorted(s.bucket for part in kept.read(covering(kept, 1, {8, 31}), {8, 31}) for s in part) == [8, 31]
    kept.close()


def test_a_lease_that_came_to_nothing_leaves_nothing(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    record = kept.begin(1, {0})
    kept.keep(record, some(1, groups={0}))
    kept.cancel(record)
    assert kept.used == 0
    assert not kept.finish(record, 5)
    assert kept.covering(1, {0}) is None


def test_beyond_the_limit_nothing_is_kept_and_nothing_fails(log: BadLog) -> None:
    size = sum(s.length for s in some(0))
    kept = RetainedShards(log, size + 10, group_of)
    assert keep(kept, 0)
    assert not keep(kept, 1)
    assert kept.used == size
    assert found(kept, 0, {0}) == plain(some(0), {0})


def test_a_full_disk_throws_everything_away(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 0)
    log.error = errno.ENOSPC
    assert not keep(kept, 1)
    assert kept.used == 0
    assert kept.covering(0, {0}) is None
    log.error = 0
    assert keep(kept, 2)
    assert found(kept, 2, {3}) == plain(some(2), {3})


def test_damage_is_noticed(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 0)
    log.write(10, [memoryview(b"\xff")])
    with pytest.raises(CorruptBlock, match="split 0"):
        found(kept, 0, {0})
    assert found(kept, 0, {3}) == plain(some(0), {3})
    kept.discard(0)
    assert kept.covering(0, {3}) is None


def test_a_split_that_was_sent_for_other_groups_too_is_kept_for_all_of_them(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 0, {0, 1})
    reading = kept.read(covering(kept, 0, {0}), {0})
    assert keep(kept, 0, {1, 2})
    assert [s for part in reading for s in read_out(part)] == plain(some(0), {0})
    assert sorted(found(kept, 0, {0, 1, 2}) or []) == sorted(plain(some(0), {0, 1, 2}))
    assert kept.used == sum(s.length for s in some(0, groups={0, 1, 2}))


def test_what_is_given_up_while_it_is_read_is_not_passed_off_as_nothing(log: BadLog) -> None:
    """A repair that takes it for nothing loses the rows."""
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 0)
    reading = kept.read(covering(kept, 0, {0}), {0})
    kept.discard(0)
    with pytest.raises(CorruptBlock):
        next(reading)
    assert keep(kept, 1)
    reading = kept.read(covering(kept, 1, {0}), {0})
    kept.clear()
    with pytest.raises((CorruptBlock, OSError)):
        next(reading)


def test_groups_that_are_written_give_their_place_back(log: BadLog) -> None:
    kept = RetainedShards(log, 1 << 30, group_of)
    assert keep(kept, 0)
    before = kept.used
    kept.drop({1, 2})
    assert kept.used == before // 2
    assert kept.covering(0, {1}) is None
    assert found(kept, 0, {0, 3}) == plain(some(0), {0, 3})
    kept.drop(range(GROUPS))
    assert kept.used == 0


class Keeping(RuleBasedStateMachine):
    """Any order of leases, drops and mishaps, beside a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        from tempfile import TemporaryDirectory

        self.folder = TemporaryDirectory()
        self.log = BadLog(Path(self.folder.name))
        self.retained = RetainedShards(self.log, 400_000, group_of)
        self.open: list[tuple[Record, list[Shard]]] = []
        self.model: dict[int, tuple[frozenset[int], list[Shard]]] = {}
        self.dropped: set[int] = set()

    @rule(split=st.integers(0, 5), groups=st.sets(st.integers(0, GROUPS - 1), min_size=1), size=st.integers(0, 3000))
    def begin(self, split: int, groups: set[int], size: int) -> None:
        record = self.retained.begin(split, groups)
        shards = some(split, size, groups)
        self.retained.keep(record, shards[: len(shards) // 2])
        self.retained.keep(record, shards[len(shards) // 2 :])
        self.open.append((record, shards))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), well=st.booleans())
    def end(self, data: st.DataObject, well: bool) -> None:
        record, shards = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        groups = record.groups
        if not well:
            self.retained.cancel(record)
        elif self.retained.finish(record, 1):
            covered, before = self.model.get(record.split, (frozenset(), []))
            if not covered >= groups:
                others = [shard for shard in before if group_of(shard.bucket) not in groups]
                self.model[record.split] = (covered | groups, others + shards)

    @rule(groups=st.sets(st.integers(0, GROUPS - 1)))
    def drop(self, groups: set[int]) -> None:
        self.retained.drop(groups)
        self.dropped |= groups

    @rule()
    def fill_the_disk(self) -> None:
        self.log.error = errno.ENOSPC
        record = self.retained.begin(9, {0})
        self.retained.keep(record, some(9, 1, {0}))
        assert not self.retained.finish(record, 1)
        self.log.error = 0
        self.model.clear()

    @rule(split=st.integers(0, 5), groups=st.sets(st.integers(0, GROUPS - 1), min_size=1))
    def look(self, split: int, groups: set[int]) -> None:
        there = found(self.retained, split, groups)
        covered, shards = self.model.get(split, (frozenset(), []))
        if groups <= covered and not groups & self.dropped:
            assert there is not None
            assert sorted(there) == sorted(plain(shards, groups))
        else:
            assert there is None

    @invariant()
    def bounded(self) -> None:
        assert 0 <= self.retained.used <= 400_000

    def teardown(self) -> None:
        for record, _ in self.open:
            self.retained.cancel(record)
        self.retained.drop(range(GROUPS))
        assert self.retained.used == 0, "what is not needed is still counted"
        self.retained.close()
        self.log.close()
        self.folder.cleanup()


Keeping.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyOrder = Keeping.TestCase
