"""Keys of a random order: as good as chance, and nothing but the seed and the position decides them."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from shuffle_worker.columns.arrays import I64
from shuffle_worker.partitioning.random_keys import cells_of_keys, random_keys

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ROWS = 200_000


def positions(count: int, first: int = 0) -> I64:
    return np.arange(first, first + count, dtype=np.int64)


def mixed(word: int) -> int:
    """As docs/hash.md has it, one number at a time."""
    word = (word + GOLDEN) & MASK
    word = ((word ^ (word >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    word = ((word ^ (word >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    return word ^ (word >> 33)


@pytest.mark.parametrize("seed", [0, 1, 42, (1 << 53) - 1])
def test_the_key_is_what_its_module_says(seed: int) -> None:
    places = [0, 1, 2, 8191, 8192, 1 << 40, (1 << 62) + 5]
    expected = [mixed((place * GOLDEN + mixed(mixed(seed))) & MASK) for place in places]
    assert random_keys(np.array(places, np.int64), seed).tolist() == expected


def test_keys_that_never_change() -> None:
    """An output that was written years ago can be written again."""
    expected = [13181347599214069101, 8056243514505867476, 12804663972084324194]
    assert random_keys(positions(3), 42).tolist() == expected


def test_batches_do_not_matter_and_positions_stay_as_they_were() -> None:
    every = positions(30_000)
    whole = random_keys(every, 3)
    for size in (1, 100, 8192, 9999):
        parts = [random_keys(every[at : at + size], 3) for at in range(0, min(len(every), 200 * size), size)]
        found = np.concatenate(parts)
        assert (found == whole[: len(found)]).all()
    assert (every == positions(30_000)).all()
    assert len(random_keys(positions(0), 3)) == 0


def test_no_two_positions_share_a_key() -> None:
    assert len(np.unique(random_keys(positions(ROWS), 5))) == ROWS


def chi_square(counts: npt.NDArray[np.int64], expected: float) -> float:
    """In standard deviations from what chance gives."""
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("seed", [0, 1, 2, 42])
@pytest.mark.parametrize("step", [1, 2, 4096, 1 << 20], ids=str)
def test_cells_are_as_full_as_chance_makes_them(seed: int, step: int) -> None:
    keys = random_keys(positions(ROWS) * step, seed)
    for cells in (2, 7, 64, 1000):
        counts = np.bincount(cells_of_keys(keys, cells), minlength=cells)
        assert abs(chi_square(counts, ROWS / cells)) < 4, cells
    low = np.bincount((keys & np.uint64(1023)).astype(np.int64), minlength=1024)
    assert abs(chi_square(low, ROWS / 1024)) < 4


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations([0, 1, 2, 3, 1 << 32, (1 << 53) - 1], 2)))
def test_seeds_have_nothing_to_do_with_each_other(one: int, other: int) -> None:
    a, b = (random_keys(positions(ROWS), seed) for seed in (one, other))
    assert not np.intersect1d(a, b).size  # neither is the other one, moved along
    pairs = np.bincount(cells_of_keys(a, 16) * 16 + cells_of_keys(b, 16), minlength=256)
    assert abs(chi_square(pairs, ROWS / 256)) < 4
    differing = np.unpackbits((a ^ b).view(np.uint8)).reshape(ROWS, 64).mean(axis=0)
    assert (abs(differing - 0.5) < 5 * 0.5 / np.sqrt(ROWS)).all()


def test_finer_cells_are_ranges_of_coarser_ones() -> None:
    keys = np.sort(random_keys(positions(10_000), 1))
    keys = np.concatenate([[np.uint64(0)], keys, [np.uint64(MASK)]])
    for cells, finer in ((1, 5), (3, 12), (64, 64 * 17)):
        coarse, fine = cells_of_keys(keys, cells), cells_of_keys(keys, finer)
        assert (np.diff(fine) >= 0).all() and fine[0] == 0 and fine[-1] == finer - 1
        assert (fine // (finer // cells) == coarse).all()
