"""The Bloom filter: it never loses a key, and few others get through."""

from __future__ import annotations

import numpy as np
import pytest

from shuffle_worker.columns.arrays import U64
from shuffle_worker.partitioning.bloom import BloomFilter


def hashes(seed: int, count: int) -> U64:
    return np.random.default_rng(seed).integers(0, 1 << 64, count, dtype=np.uint64)


@pytest.mark.parametrize("expected", [0, 1, 100, 20_000, 100_000])
def test_no_key_is_lost_whatever_their_number_was_said_to_be(expected: int) -> None:
    keys = hashes(1, 20_000)
    bloom = BloomFilter.empty(expected)
    bloom.add(keys[:9_000])
    bloom.add(keys[9_000:])
    assert bloom.may_have(keys).all()
    assert BloomFilter.of_bytes(bloom.to_bytes()).may_have(keys).all()


def test_few_other_keys_get_through() -> None:
    bloom = BloomFilter.empty(50_000)
    bloom.add(hashes(1, 50_000))
    assert 0.02 < bloom.may_have(hashes(2, 50_000)).mean() < 0.06
    assert len(bloom.to_bytes()) == 50_000


def test_an_empty_filter_has_nothing() -> None:
    assert not BloomFilter.empty(0).may_have(hashes(1, 1_000)).any()
    assert not len(BloomFilter.empty(0).may_have(hashes(1, 0)))
