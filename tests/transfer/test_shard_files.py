"""Shards by way of object storage: what a lease wrote comes back bucket by bucket, of the attempts that count."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from shuffle_protocol.errors import Internal
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard
from shuffle_worker.storage import LocalStorage, Range
from shuffle_worker.store.store import CorruptBlock
from shuffle_worker.transfer.objects import ShardFiles
from shuffle_worker.transfer.source import Revoked


class Counting(LocalStorage):
    """Local files, and how often they are asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        self.asked.append(len(ranges))
        return super().read_ranges(ranges)


def shard(bucket: int, sequence: int, data: bytes) -> Shard:
    half = len(data) // 2
    payload = [data[:half], memoryview(data)[half:]]
    return Shard(bucket, sequence, len(data), xxhash.xxh3_64_intdigest(data), payload, len(data))


def write(files: ShardFiles, attempt: Attempt, shards: Sequence[Shard]) -> None:
    writer = files.writer(attempt)
    for at in range(0, len(shards), 3):
        writer.add(shards[at : at + 3])
    writer.finish()
    assert writer.bytes == sum(one.length for one in shards)
    assert writer.rows == sum(one.rows for one in shards)


def everything(files: ShardFiles, bucket: int, counted: Sequence[Attempt] = ()) -> list[tuple[int, int, bytes]]:
    source = files.source(counted)
    shards = source.shards(bucket)
    buffer = bytearray(sum(one.length for one in shards))
    source.read(bucket, shards, memoryview(buffer))
    found, at = [], 0
    for one in shards:
        found.append((one.split, one.sequence, bytes(buffer[at : at + one.length])))
        at += one.length
    assert source.bytes == len(buffer)
    return found


@given(
    sizes=st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 300)), max_size=20), min_size=1, max_size=5),
    hold=st.sampled_from([1, 500, 1 << 20]),
    index=st.sampled_from([1, 2_000, 1 << 20]),
)
def test_what_was_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[tuple[int, int]]], hold: int, index: int
) -> None:
    folder = str(tmp_path_factory.mktemp("shards"))
    files = ShardFiles(LocalStorage(), folder, len(sizes), 10, hold, index)
    chance = random.Random(1)
    expected: dict[int, list[tuple[int, int, bytes]]] = {bucket: [] for bucket in range(10)}
    for split, of_split in enumerate(sizes):
        made = [shard(bucket, at, chance.randbytes(size)) for at, (bucket, size) in enumerate(of_split)]
        write(files, Attempt(0, split, 0), made)
        for one in made:
            expected[one.bucket].append((split, one.sequence, b"".join(bytes(part) for part in one.payload)))
    for bucket in chance.sample(range(10), 10):
        assert everything(files, bucket) == expected[bucket]


def test_only_the_attempt_that_counts(tmp_path: Path) -> None:
    files = ShardFiles(LocalStorage(), str(tmp_path), 2, 1, 100, 1000)
    write(files, Attempt(0, 0, 0), [shard(0, 0, b"zero")])
    write(files, Attempt(0, 1, 0), [shard(0, 0, b"superseded"), shard(0, 1, b"superseded too")])
    write(files, Attempt(0, 1, 3), [shard(0, 0, b"counts")])
    assert everything(files, 0, [Attempt(0, 1, 3)]) == [(0, 0, b"zero"), (1, 0, b"counts")]
    assert everything(files, 0)[1:] == [(1, 0, b"superseded"), (1, 1, b"superseded too")]


def test_a_bucket_of_a_split_is_one_range(tmp_path: Path) -> None:
    """Requests cost money and time: two for the index of every split, one for each split's part of a bucket."""
    storage = Counting()
    files = ShardFiles(storage, str(tmp_path), 3, 4, 1 << 20, 1 << 20)
    for split in range(3):
        write(files, Attempt(0, split, 0), [shard(at % 4, at, bytes([at]) * 100) for at in range(40)])
    for bucket in range(4):
        assert len(everything(files, bucket)) == 30
    assert storage.asked == [3, 3, 3, 3, 3, 3]


def test_damage_is_found(tmp_path: Path) -> None:
    files = ShardFiles(LocalStorage(), str(tmp_path), 1, 1, 100, 1000)
    write(files, Attempt(0, 0, 0), [shard(0, 0, b"a" * 50), shard(0, 1, b"b" * 50)])
    path = tmp_path / "00000-0"
    path.write_bytes(path.read_bytes()[:60] + b"x" + path.read_bytes()[61:])
    with pytest.raises(CorruptBlock, match="bucket 0"):
        everything(files, 0)


def test_shards_that_somebody_removed(tmp_path: Path) -> None:
    files = ShardFiles(LocalStorage(), str(tmp_path), 1, 1, 100, 1000)
    write(files, Attempt(0, 0, 0), [shard(0, 0, b"a" * 50)])
    (tmp_path / "00000-0").unlink()
    with pytest.raises(Internal, match="gone"):
        everything(files, 0)


def test_an_aborted_attempt_leaves_nothing(tmp_path: Path) -> None:
    files = ShardFiles(LocalStorage(), str(tmp_path), 1, 1, 10, 1000)
    writer = files.writer(Attempt(0, 0, 0))
    writer.add([shard(0, 0, b"a" * 50)])
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_revoked_write_stops(tmp_path: Path) -> None:
    files = ShardFiles(LocalStorage(), str(tmp_path), 1, 1, 10, 1000)
    write(files, Attempt(0, 0, 0), [shard(0, 0, b"a" * 50)])
    source = files.source([])
    shards = source.shards(0)
    source.revoke()
    with pytest.raises(Revoked):
        source.read(0, shards, memoryview(bytearray(50)))
