"""What goes to scratch, when, in what shape; what happens when scratch fails; and that nothing wrong is ever read."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_protocol.checksum import checksum
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard
from shuffle_worker.runtime.direct import PAGE
from shuffle_worker.store.spill import IOV_MAX, LogRead, SpillLog
from shuffle_worker.store.spillstore import SpillStore
from shuffle_worker.store.store import CorruptBlock

KIB = 1 << 10


class Scripted(SpillLog):
    """A log on a real file whose writes and reads can be made to fail, to be partial, or to wait."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fails: int | None = None  # errno of every write
        self.room: int | None = None  # bytes until the disk is full
        self.at_most = 1 << 30  # bytes that one call writes or reads
        self.writes: list[int] = []
        self.reads: list[int] = []
        self.begun = Event()
        self.go_on: Event | None = None
        self.raised: Exception | None = None

    def _pwritev(self, buffers: Sequence[memoryview], offset: int) -> int:
        assert len(buffers) <= IOV_MAX
        self.begun.set()
        if self.go_on is not None:
            assert self.go_on.wait(10)
        if self.fails is not None:
            raise OSError(self.fails, os.strerror(self.fails))
        data = b"".join(buffers)[: self.at_most]
        if self.room is not None:
            data = data[: self.room]
            self.room -= len(data)
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.writes.append(sum(buffer.nbytes for buffer in buffers))
        return super()._pwritev([memoryview(data)], offset)

    def _preadv(self, buffers: Sequence[memoryview], offset: int) -> int:
        assert len(buffers) <= IOV_MAX
        first = buffers[0][: self.at_most]
        cut = [first] if first.nbytes < buffers[0].nbytes else list(buffers)
        done = super()._preadv(cut, offset)
        self.reads.append(done)
        return done

    def flip(self, offset: int) -> None:
        """A bit of the file, as a bad disk does it."""
        (byte,) = os.pread(self._file, 1, offset)
        os.pwrite(self._file, bytes([byte ^ 4]), offset)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size if self.created else 0


@pytest.fixture
def log(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path)


def made(log: Scripted, budget: int, block: int = KIB) -> SpillStore:
    return SpillStore(budget, Path("unused"), 8, block=block, log=log)


def shard(bucket: int, sequence: int, data: bytes) -> Shard:
    return Shard(bucket, sequence, 1, checksum([data]), [data], len(data))


def put(store: SpillStore, bucket: int, number: int, data: bytes) -> None:
    store.append(Attempt(0, number, 0), [shard(bucket, 0, data)])


def everything(store: SpillStore, bucket: int) -> bytes:
    found = store.shards(bucket)
    into = bytearray(sum(each.length for each in found))
    store.read(bucket, found, memoryview(into))
    return bytes(into)


# -- what goes, and how ------------------------------------------------------------------------------------------------


def test_up_to_the_last_block_nothing_is_written(log: Scripted) -> None:
    store = made(log, 16 * KIB)
    for number in range(16):
        put(store, number % 4, number, bytes(KIB))
    assert not log.created
    assert store.stats().in_memory == 16 * KIB
    put(store, 0, 99, b"one byte more")
    assert log.created
    store.close()


def test_the_largest_bucket_goes_first(log: Scripted) -> None:
    store = made(log, 16 * KIB)
    for bucket, size in [(0, 3), (1, 6), (2, 2), (3, 5)]:
        put(store, bucket, 0, bytes([bucket]) * size * KIB)
    put(store, 2, 1, bytes(KIB))
    assert store.stats().spilled == 6 * KIB
    before = len(log.reads)
    everything(store, 3)
    assert len(log.reads) == before, "bucket 3 is in memory still"
    everything(store, 1)
    assert len(log.reads) == before + 1
    store.close()


def test_small_buckets_go_together_in_one_write(log: Scripted) -> None:
    store = made(log, 64 * KIB)
    for number in range(64):
        put(store, number, number, bytes(1000))
    put(store, 0, 99, bytes(1000))
    assert log.writes == [8000], "an eighth of the budget, though one bucket would have been enough"
    store.close()


def test_more_blocks_than_one_call_takes(log: Scripted) -> None:
    store = made(log, 3 * IOV_MAX * 16, block=16)
    data = [random.Random(number).randbytes(IOV_MAX * 16 * 2) for number in range(2)]
    for at in range(0, len(data[0]), 16):  # blocks of the buckets in turns, so that none are neighbours
        for bucket in range(2):
            store.append(Attempt(0, 0, 0), [shard(bucket, at, data[bucket][at : at + 16])])
    assert max(log.writes) == IOV_MAX * 16
    assert [everything(store, bucket) for bucket in range(2)] == data
    store.close()


def test_shards_beside_each_other_in_the_log_are_fetched_by_one_call(log: Scripted) -> None:
    store = made(log, 64 * KIB)
    chance = random.Random(1)
    data = {number: chance.randbytes(500) for number in range(100)}
    order = list(data)
    chance.shuffle(order)
    for number in order:
        put(store, 0, number, data[number])
    put(store, 1, 0, bytes(60 * KIB))
    log.reads.clear()
    assert everything(store, 0) == b"".join(data[number] for number in range(100))
    assert log.reads == [50_000], "one call, scattered to where each shard belongs"
    store.close()


def test_the_file_has_no_name(log: Scripted, tmp_path: Path) -> None:
    """So that it is gone however the process ends."""
    store = made(log, KIB)
    put(store, 0, 0, bytes(10 * KIB))
    assert log.size == 10 * KIB
    assert not list(tmp_path.iterdir())
    store.close()


@given(st.integers(1, 700), st.lists(st.integers(0, 900), min_size=1, max_size=20))
def test_disks_that_take_and_give_a_little_at_a_time(at_most: int, sizes: list[int]) -> None:
    log = Scripted(Path(os.environ.get("TMPDIR", "/tmp")))
    log.at_most = at_most
    store = made(log, 2 * KIB, block=128)
    chance = random.Random(7)
    expected: dict[int, bytes] = {0: b"", 1: b""}
    for number, size in enumerate(sizes):
        data = chance.randbytes(size)
        put(store, number % 2, number, data)
        expected[number % 2] += data
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


# -- scratch fails -----------------------------------------------------------------------------------------------------


@pytest.fixture
def nearly_full(log: Scripted) -> Iterator[tuple[SpillStore, dict[int, bytes]]]:
    """A store that holds 15 of the 16 KiB it has."""
    store = made(log, 16 * KIB)
    expected = {}
    for bucket, size in [(0, 3), (1, 7), (2, 2), (3, 3)]:
        expected[bucket] = random.Random(bucket).randbytes(size * KIB)
        put(store, bucket, 0, expected[bucket])
    yield store, expected
    store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("size", [2 * KIB, 100 * KIB], ids=["through memory", "straight to disk"])
def test_a_failing_disk_takes_nothing_and_loses_nothing(
    log: Scripted, tmp_path: Path, nearly_full: tuple[SpillStore, dict[int, bytes]], number: int, size: int
) -> None:
    store, expected = nearly_full
    before = store.stats()
    log.fails = number
    for _ in range(6):  # more often than there are buckets to try with
        with pytest.raises(OSError, match=str(tmp_path)) as caught:
            store.append(Attempt(0, 1, 0), [shard(0, 0, b"x" * 10), shard(4, 1, b"y" * size)])
        assert caught.value.errno == number
    assert store.stats() == before
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    assert store.shards(4) == []
    put(store, 2, 1, b"z" * KIB)  # what fits is still taken
    assert everything(store, 2) == expected[2] + b"z" * KIB
    log.fails = None
    put(store, 0, 1, b"y" * size)
    assert everything(store, 0) == expected[0] + b"y" * size


def test_a_disk_that_fills_up_in_the_middle_of_a_write(
    log: Scripted, nearly_full: tuple[SpillStore, dict[int, bytes]]
) -> None:
    store, expected = nearly_full
    log.room = 5 * KIB
    log.at_most = 2 * KIB
    with pytest.raises(OSError, match="space"):
        put(store, 0, 1, bytes(2 * KIB))
    assert log.size == 0, "what was written in vain does not keep the disk full"
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    log.room = None
    put(store, 0, 1, bytes(2 * KIB))
    assert everything(store, 0) == expected[0] + bytes(2 * KIB)


def test_a_scratch_folder_that_is_not_there(tmp_path: Path) -> None:
    store = SpillStore(KIB, tmp_path / "nowhere", 4, block=KIB)
    put(store, 0, 0, bytes(100))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        put(store, 0, 1, bytes(2000))
    assert everything(store, 0) == bytes(100)
    store.close()


LIMITED = """
import errno, resource, sys
from pathlib import Path
from shuffle_worker.store.spillstore import SpillStore
from shuffle_protocol.shards import Shard
from shuffle_protocol.checksum import checksum
from shuffle_protocol.messages import Attempt

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = SpillStore(100_000, Path(sys.argv[1]), 4, block=4096)
data = bytes(range(250)) * 40
taken = 0
try:
    while True:
        store.append(Attempt(0, taken, 0), [Shard(taken % 4, 0, 1, checksum([data]), [data], len(data))])
        taken += 1
except OSError as error:
    assert error.errno == errno.EFBIG, error
for bucket in range(4):
    shards = store.shards(bucket)
    store.read(bucket, shards, memoryview(bytearray(sum(s.length for s in shards))))
assert store.stats().held == taken * len(data)
print(taken * len(data))
"""


def test_the_kernel_refuses_to_let_the_file_grow(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert 300_000 < int(done.stdout) <= 400_000


# -- past the page cache -----------------------------------------------------------------------------------------------

PAGED = 64 * KIB


class Direct(Scripted):
    """A log that says what was written past the page cache. refuses: what such writes raise. takes: bytes of each that
    are written, None for all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.refuses = 0
        self.takes: int | None = None
        self.past: list[int] = []
        self.advised: list[tuple[int, int, int]] = []

    def _pwritev_direct(self, buffers: Sequence[memoryview], offset: int) -> int:
        assert offset % PAGE == 0
        assert all(buffer.nbytes % PAGE == 0 for buffer in buffers)
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        if self.takes is not None:
            done = os.pwrite(self._file, b"".join(buffers)[: self.takes], offset)
        else:
            done = super()._pwritev_direct(buffers, offset)
        self.past.append(done)
        return done

    def _advise(self, offset: int, length: int, advice: str) -> None:
        self.advised.append((offset, length, getattr(os, advice)))
        super()._advise(offset, length, advice)


@pytest.fixture
def direct(tmp_path: Path) -> Direct:
    log = Direct(tmp_path)
    log._create()
    if not log.passes:
        pytest.skip("the file system of the test's folder has no O_DIRECT")
    return log


def filled(log: SpillLog) -> tuple[SpillStore, dict[int, bytes]]:
    """A store that has spilled more than it holds, in shards whose ends are nowhere near those of pages."""
    store = made(log, 8 * PAGED, PAGED)
    expected: dict[int, bytes] = {}
    for number in range(120):
        data = random.Random(number).randbytes(9_999 + number)
        put(store, number % 3, number, data)
        expected[number % 3] = expected.get(number % 3, b"") + data
    return store, expected


def test_whole_pages_go_past_the_page_cache(direct: Direct) -> None:
    store, expected = filled(direct)
    assert direct.past
    assert not direct.writes, "nothing went through it"
    assert store.stats().spilled <= sum(direct.past) < store.stats().spilled * 1.05
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF])
def test_a_file_system_that_refuses_such_writes_gets_others(direct: Direct, number: int) -> None:
    direct.refuses = number
    store, expected = filled(direct)
    assert direct.writes
    assert not direct.past
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_such_writes_loses_nothing(direct: Direct, number: int) -> None:
    store, expected = filled(direct)
    direct.refuses = number
    before = store.stats()
    with pytest.raises(OSError, match=str(direct._folder)) as caught:
        put(store, 0, 999, bytes(7 * PAGED))
    assert caught.value.errno == number
    assert store.stats() == before
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


@pytest.mark.parametrize("takes", [PAGE, 3 * PAGE, 5_000])
def test_what_such_a_write_left_over_is_written_too(direct: Direct, takes: int) -> None:
    direct.takes = takes
    store, expected = filled(direct)
    assert bool(direct.writes) == bool(takes % PAGE), "from the middle of a page on only through the page cache"
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


def test_a_slow_disk_is_written_through_the_page_cache(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.runtime.direct.TRIED", 300_000)
    monkeypatch.setattr("shuffle_worker.runtime.direct.SLOW", 1e15)
    store, expected = filled(direct)
    assert 300_000 < sum(direct.past) < 600_000
    assert direct.writes
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


class Past(SpillLog):
    """A log that is read past the page cache, with reads that are short or fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, past=True, least=1)
        self.fails = 0
        self.at_most = 1 << 30
        self.past = self.cached = 0

    def _preadv_direct(self, buffers: Sequence[memoryview], offset: int) -> int:
        assert offset % PAGE == 0
        assert all(buffer.nbytes % PAGE == 0 for buffer in buffers)
        if self.fails:
            raise OSError(self.fails, os.strerror(self.fails))
        self.past += 1
        return super()._preadv_direct([buffers[0][: self.at_most]], offset)

    def _preadv(self, buffers: Sequence[memoryview], offset: int) -> int:
        self.cached += 1
        return super()._preadv(buffers, offset)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    log = Past(tmp_path)
    log._create()
    if not log.passes:
        pytest.skip("the file system of the test's folder has no O_DIRECT")
    return log


@pytest.mark.parametrize("at_most", [1 << 30, 2 * PAGE])
def test_what_was_spilled_is_read_past_the_page_cache(past: Past, at_most: int) -> None:
    past.at_most = at_most
    store, expected = filled(past)
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    assert past.past
    assert not past.cached
    store.close()


def test_what_a_file_system_refuses_to_read_so_is_read_through_the_page_cache(past: Past) -> None:
    store, expected = filled(past)
    past.fails = errno.EINVAL
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    assert past.cached
    store.close()


def test_a_disk_that_fails_such_reads_says_so(past: Past) -> None:
    store, expected = filled(past)
    past.fails = errno.EIO
    with pytest.raises(OSError, match=str(past._folder)):
        everything(store, 0)
    past.fails = 0
    assert {bucket: everything(store, bucket) for bucket in expected} == expected
    store.close()


def test_a_bucket_is_fetched_ahead_and_forgotten_when_it_is_dropped(direct: Direct) -> None:
    store, _ = filled(direct)
    direct.advised.clear()
    store.expect([1])
    ahead = {(at, length) for at, length, advice in direct.advised if advice == os.POSIX_FADV_WILLNEED}
    assert ahead
    direct.advised.clear()
    everything(store, 1)
    assert {(at, length) for at, length, _ in direct.advised} == ahead, "what was fetched is what is read"
    direct.advised.clear()
    store.drop([1])
    assert not direct.advised
    store.free()
    assert {(at, length) for at, length, advice in direct.advised if advice == os.POSIX_FADV_DONTNEED} == ahead
    store.close()


# -- what is dropped is freed on the disk ------------------------------------------------------------------------------


class Sparse(Scripted):
    """A log whose holes are noted, and read as zeros on any file system. can: whether this one makes any."""

    can = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.holes: list[tuple[int, int]] = []
        self.advised: list[tuple[int, int]] = []

    def punch(self, offset: int, length: int) -> bool:
        assert offset % PAGE == 0
        assert length % PAGE == 0
        if self.can:
            self.holes.append((offset, length))
            os.pwrite(self._file, bytes(length), offset)
        return self.can

    def _advise(self, offset: int, length: int, advice: str) -> None:
        if getattr(os, advice) == os.POSIX_FADV_DONTNEED:
            self.advised.append((offset, length))
        super()._advise(offset, length, advice)

    @property
    def freed(self) -> int:
        return sum(length for _, length in self.holes)


@pytest.fixture
def sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sparse:
    monkeypatch.setattr("shuffle_worker.store.spill.LEAST_FREED", 2 * PAGED)
    return Sparse(tmp_path)


def parted(log: Sparse) -> tuple[SpillStore, dict[int, bytes]]:
    """Buckets 0 and 1 are in the log with a large part each, 2 with a small one, 3 in memory."""
    store = made(log, 8 * PAGED, PAGED)
    expected = {number: random.Random(number).randbytes(size) for number, size in enumerate([270_001, 200_001, 30_001])}
    for number, data in expected.items():
        put(store, number, 0, data)
    expected[3] = bytes(8 * PAGED)
    put(store, 3, 0, expected[3])
    return store, expected


@pytest.mark.parametrize("block", [PAGED, KIB])
def test_a_large_part_that_is_dropped_is_freed_and_others_are_whole(sparse: Sparse, block: int) -> None:
    store = made(sparse, 8 * PAGED, block)
    expected = {number: random.Random(number).randbytes(170_001 + number) for number in range(12)}
    for number, data in expected.items():
        put(store, number, 0, data)
    spilled = store.stats().spilled
    for number in range(11):
        data = expected.pop(number)
        before = sparse.freed
        store.drop([number])
        assert sparse.freed == before, "not while anybody waits"
        store.free()
        assert sparse.freed - before in (0, len(data) // PAGE * PAGE, len(data) // PAGE * PAGE - PAGE)
        assert {bucket: everything(store, bucket) for bucket in expected} == expected
    assert sparse.freed > spilled * 0.9
    assert store.stats().spilled == spilled, "it says what was ever written"
    store.close()


def test_a_small_part_is_freed_with_the_last_bucket(sparse: Sparse) -> None:
    store, expected = parted(sparse)
    for number in (2, 3):
        store.drop([number])
        store.free()
    assert sparse.holes == []
    assert everything(store, 0) == expected[0]
    store.drop([0, 1])
    store.free()
    assert sparse.holes == [(0, sparse._end // PAGE * PAGE)]
    store.free()
    assert len(sparse.holes) == 1, "once"
    put(store, 5, 0, expected[0] * 2)  # a repair may bring shards after all
    put(store, 6, 0, expected[0])
    assert everything(store, 5) == expected[0] * 2
    store.close()


def test_a_file_system_that_frees_no_parts_is_asked_once(sparse: Sparse) -> None:
    sparse.can = False
    store, expected = parted(sparse)
    sparse._pace.written = 1  # as if the log had gone past the page cache
    store.drop([0])
    store.free()
    sparse.can = True
    store.drop([1])
    store.free()
    assert sparse.holes == []
    assert len(sparse.advised) == 2
    assert everything(store, 2) == expected[2]
    store.close()


def test_what_is_freed_while_it_is_read_was_dropped_and_is_not_corrupt(sparse: Sparse) -> None:
    store, _ = parted(sparse)
    read = sparse.read

    def read_late(pieces: Sequence[LogRead]) -> None:
        store.drop([0])
        store.free()
        read(pieces)

    sparse.read = read_late  # type: ignore[method-assign]
    with pytest.raises(LookupError, match="bucket 0 that are asked for were dropped"):
        everything(store, 0)
    assert sparse.holes
    store.close()


def test_what_is_being_written_is_not_freed(sparse: Sparse) -> None:
    """The last bucket is dropped while another's first shard, too large for memory, is on its way to the log."""
    store, expected = parted(sparse)
    large = bytes([7]) * 9 * PAGED
    store.drop([1, 2, 3])
    write = sparse._pwritev

    def write_late(buffers: Sequence[memoryview], offset: int) -> int:
        done = write(buffers, offset)
        store.drop([0])
        store.free()
        return done

    sparse._pwritev = write_late  # type: ignore[method-assign]
    put(store, 4, 0, large)
    assert everything(store, 4) == large
    assert sparse.freed < len(expected[0]) + len(expected[1])
    store.close()


def test_a_closed_store_frees_nothing(sparse: Sparse) -> None:
    store, _ = parted(sparse)
    store.drop([0])
    store.close()
    store.free()
    assert sparse.holes == []


def test_the_disk_has_room_again(tmp_path: Path) -> None:
    log = SpillLog(tmp_path)
    log.write(0, [memoryview(bytes(1 << 20))])
    before = os.fstat(log._file).st_blocks
    if not log.punch(0, PAGE):
        pytest.skip("the file system of the test's folder frees no parts of files")
    log.forget([(5, (1 << 20) - 5)])
    assert os.fstat(log._file).st_blocks * 512 <= PAGE < before * 512
    assert os.fstat(log._file).st_size == 1 << 20
    log.close()


# -- nothing wrong is ever read ----------------------------------------------------------------------------------------


def test_every_flipped_bit_in_the_log_is_found(log: Scripted) -> None:
    store = made(log, KIB)
    for number in range(5):
        put(store, 0, number, random.Random(number).randbytes(1200))
    for offset in range(0, log.size, 97):
        log.flip(offset)
        with pytest.raises(CorruptBlock) as caught:
            everything(store, 0)
        assert caught.value.shard.split == offset // 1200
        log.flip(offset)
    assert len(everything(store, 0)) == 6000
    store.close()


def test_a_log_that_was_cut_is_noticed(log: Scripted) -> None:
    store = made(log, KIB)
    put(store, 0, 0, bytes(5000))
    os.ftruncate(log._file, 3000)
    with pytest.raises(OSError, match="ends before"):
        everything(store, 0)
    store.close()


# -- while the disk works ----------------------------------------------------------------------------------------------


@pytest.fixture
def slow(log: Scripted) -> Iterator[tuple[SpillStore, Thread]]:
    """A store with a write to the log on its way, for room for one more shard: bucket 1 is moving."""
    store = made(log, 16 * KIB)
    put(store, 0, 0, b"a" * 4 * KIB)
    put(store, 1, 0, b"b" * 12 * KIB)
    log.go_on = Event()

    def one_more() -> None:
        try:
            put(store, 2, 0, b"c" * KIB)
        except (OSError, ValueError) as error:
            log.raised = error

    thread = Thread(target=one_more)
    thread.start()
    assert log.begun.wait(10)
    yield store, thread
    log.go_on.set()
    thread.join(10)
    store.close()


def release(log: Scripted, thread: Thread) -> Exception | None:
    """Let the disk go on; answers what the append that was waiting raised."""
    assert log.go_on
    log.go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    return log.raised


def test_what_is_being_moved_can_be_read(log: Scripted, slow: tuple[SpillStore, Thread]) -> None:
    store, thread = slow
    assert everything(store, 1) == b"b" * 12 * KIB
    assert everything(store, 0) == b"a" * 4 * KIB
    assert store.stats() == (16 * KIB, 16 * KIB, 0)
    assert release(log, thread) is None
    assert store.stats() == (17 * KIB, 5 * KIB, 12 * KIB)
    assert everything(store, 1) == b"b" * 12 * KIB


def test_what_is_being_moved_can_be_dropped(log: Scripted, slow: tuple[SpillStore, Thread]) -> None:
    store, thread = slow
    store.drop([1])
    assert store.shards(1) == []
    assert store.stats() == (4 * KIB, 4 * KIB, 0)
    release(log, thread)
    assert store.stats() == (5 * KIB, 5 * KIB, 12 * KIB)
    put(store, 1, 0, b"new" * KIB)
    assert everything(store, 1) == b"new" * KIB
    assert everything(store, 2) == b"c" * KIB


def test_a_bucket_that_is_being_moved_can_grow(log: Scripted, slow: tuple[SpillStore, Thread]) -> None:
    store, thread = slow
    store.drop([0])  # room
    store.append(Attempt(0, 1, 0), [shard(1, 0, b"more")])
    assert everything(store, 1) == b"b" * 12 * KIB + b"more"
    release(log, thread)
    assert everything(store, 1) == b"b" * 12 * KIB + b"more"


def test_a_move_that_fails_leaves_its_bucket_whole(log: Scripted, slow: tuple[SpillStore, Thread]) -> None:
    store, thread = slow
    store.drop([0])
    store.append(Attempt(0, 1, 0), [shard(1, 0, b"more")])
    log.fails = errno.ENOSPC
    assert isinstance(release(log, thread), OSError)
    assert everything(store, 1) == b"b" * 12 * KIB + b"more"
    log.fails = None
    put(store, 3, 0, bytes(8 * KIB))  # moves both parts
    assert everything(store, 1) == b"b" * 12 * KIB + b"more"
    assert store.stats().spilled == 12 * KIB + 4


@pytest.mark.parametrize("how", ["dropped", "moved"])
def test_blocks_that_are_being_read_are_not_used_again(
    log: Scripted, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """While a reader copies, its bucket goes, and others want the memory."""
    store = made(log, 16 * KIB)
    put(store, 0, 0, b"a" * 12 * KIB)
    copy = store._arena.copy

    def copy_late(*args: object) -> None:
        monkeypatch.undo()
        if how == "dropped":
            store.drop([0])
            put(store, 1, 0, b"b" * 4 * KIB)
            with pytest.raises(Waits):
                put(store, 2, 0, b"c" * 8 * KIB)
        else:
            with pytest.raises(Waits):
                put(store, 1, 0, b"b" * 8 * KIB)
            assert store.stats().in_memory == 0
        copy(*args)  # type: ignore[arg-type]

    class Waits(Exception):
        """The append would wait for the reader, which is this very thread."""

    def wait(timeout: float | None = None) -> bool:
        raise Waits

    monkeypatch.setattr(store._arena, "copy", copy_late)
    store._changed.wait = wait  # type: ignore[method-assign]
    assert everything(store, 0) == b"a" * 12 * KIB
    assert store._arena.free == 16
    put(store, 3, 0, b"d" * 12 * KIB)
    assert everything(store, 3) == b"d" * 12 * KIB
    store.close()


def test_closing_waits_for_the_disk(log: Scripted, slow: tuple[SpillStore, Thread]) -> None:
    store, thread = slow
    closing = Thread(target=store.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    assert isinstance(release(log, thread), ValueError)
    closing.join(10)
    assert not closing.is_alive()
    with pytest.raises(ValueError, match="closed"):
        store.shards(0)


# -- the log alone -----------------------------------------------------------------------------------------------------


def test_pieces_are_read_where_they_belong(log: Scripted) -> None:
    data = random.Random(2).randbytes(5000)
    offset = log.reserve(5000)
    log.write(offset, [memoryview(data)[:1234], memoryview(data)[1234:]])
    into = memoryview(bytearray(3000))
    log.read(
        [
            LogRead(0, into[2000:]),
            LogRead(1000, into[:500]),
            LogRead(1500, into[500:1000]),
            LogRead(4000, into[1000:2000]),
        ]
    )
    assert bytes(into) == data[1000:1500] + data[1500:2000] + data[4000:] + data[:1000]
    assert log.reads == [2000, 1000]
    log.close()
