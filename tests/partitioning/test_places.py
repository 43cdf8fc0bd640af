"""Places: the order of rows in a file of a hashed operation, the same however finely the file is cut into buckets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shuffle_worker.partitioning.hash import cells_of, hash_rows
from shuffle_worker.partitioning.places import places_of

ROWS = 20_000


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 128, 1000, 32_768, 200_000])
@pytest.mark.parametrize("each", [1, 2, 5])
def test_the_cells_of_a_file_are_ranges_of_places(partitions: int, each: int) -> None:
    keys = [pa.array(np.arange(ROWS) * 7919), pa.array([f"k{n % 97}" for n in range(ROWS)])]
    files, cells, found = cells_of(keys, partitions), cells_of(keys, partitions * each), places_of(keys, partitions)
    assert (cells // each == files).all()
    order = np.lexsort((found, files))
    assert (np.diff(cells[order]) >= 0).all()


@pytest.mark.parametrize("partitions", [1, 5, 32_768])
def test_within_a_file_places_rise_as_hashes_do(partitions: int) -> None:
    keys = [pa.array(np.arange(ROWS))]
    files, hashes, found = cells_of(keys, partitions), hash_rows(keys), places_of(keys, partitions)
    assert (np.lexsort((found, files)) == np.lexsort((hashes, files))).all()
    assert len(set(zip(files.tolist(), found.tolist(), strict=True))) == len(set(hashes.tolist()))
