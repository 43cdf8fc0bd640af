"""A Bloom filter: a small summary of many keys that says of another key either that it is not among them, for certain,
or that it may be.

It is made of the keys' hashes. A hash chooses a word of 64 bits and three bits of it, so that a look costs one read of
memory: 6 ns a row while the filter lies in the cache. With `BYTES_A_KEY` about 4 % of other keys seem to be among them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shuffle_worker.columns.arrays import U64, Bools

BYTES_A_KEY = 1

_BLOCK = 8192
"""Hashes looked up at once: arrays of 64 KiB stay in the cache."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_SIX = np.uint64(63)
_SHIFTS = (np.uint64(58), np.uint64(52), np.uint64(46))
"""Where in a hash the numbers of its three bits are."""


class BloomFilter:
    """words: those of the filter, `empty` or another filter's."""

    def __init__(self, words: U64) -> None:
        self.words = words

    @classmethod
    def empty(cls, keys: int) -> BloomFilter:
        """For about so many keys."""
        return cls(np.zeros(max(keys * BYTES_A_KEY // 8, 1), np.uint64))

    @classmethod
    def of_bytes(cls, data: bytes) -> BloomFilter:
        return cls(np.frombuffer(data, "<u8"))

    def to_bytes(self) -> bytes:
        return self.words.astype("<u8").tobytes()

    def add(self, hashes: U64) -> None:
        """Calls may not come from several threads at once."""
        for _, places, bits in self._blocks(hashes):
            self.words[places] = self.words.take(places) | bits
            # of several hashes of one word in a block only the last is there now
            lost = np.flatnonzero(self.words.take(places) & bits != bits)
            if len(lost):
                np.bitwise_or.at(self.words, places[lost], bits[lost])

    def may_have(self, hashes: U64) -> Bools:
        """For each hash whether it may have been added."""
        found = np.empty(len(hashes), np.bool_)
        for first, places, bits in self._blocks(hashes):
            np.equal(self.words.take(places) & bits, bits, out=found[first : first + _BLOCK])
        return found

    def _blocks(self, hashes: U64) -> Iterator[tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]], U64]]:
        """The first row of each block, its hashes' words and bits."""
        words, one = np.uint64(len(self.words)), np.uint64(1)
        for first in range(0, len(hashes), _BLOCK):
            block = hashes[first : first + _BLOCK]
            places = ((block & _LOW) * words) >> _HALF
            bits = np.zeros(len(block), np.uint64)
            for shift in _SHIFTS:
                bits |= one << ((block >> shift) & _SIX)
            yield first, places.view(np.int64), bits
