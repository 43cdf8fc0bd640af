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


@pytest.mark.parametrize("expected", [1, 8 * 100, 8 * 5_000, 8 * 1_000_000])
def test_hashes_of_one_word_do_not_push_each_other_out(expected: int) -> None:
    """As if they were added one by one."""
    keys = hashes(3, 20_000)
    keys[1_000:2_000] = keys[5_000]
    bloom, alone = BloomFilter.empty(expected), BloomFilter.empty(expected)
    bloom.add(keys)
    for at in range(len(keys)):
        alone.add(keys[at : at + 1])
    assert bloom.to_bytes() == alone.to_bytes()


def test_an_empty_filter_has_nothing() -> None:
    assert not BloomFilter.empty(0).may_have(hashes(1, 1_000)).any()
    assert not len(BloomFilter.empty(0).may_have(hashes(1, 0)))
