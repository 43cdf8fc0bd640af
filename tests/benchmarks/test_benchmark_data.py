"""The data is a function of its size alone, and has the shape that the figures in the README speak of."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from benchmarks import dataset as data


def test_sizes_by_name_and_number() -> None:
    assert (data.rows_of("S"), data.rows_of("L"), data.rows_of("3_375_000")) == (27_000_000, 216_000_000, 3_375_000)
    assert (data.name_of(27_000_000), data.name_of(12)) == ("S", "rows-12")


@pytest.mark.parametrize("size", ["s", "", "-1", "3", "1e6"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        data.rows_of(size)


def test_the_same_rows_every_time() -> None:
    assert data.table(1000, 8, 3).equals(data.table(1000, 8, 3))
    assert not data.table(1000, 8, 3).equals(data.table(1000, 8, 4))


def test_shape_of_the_rows(dataset: data.Dataset) -> None:
    table = pq.read_table(dataset.folder)
    assert tuple(table.column_names) == data.COLUMNS
    assert (table.num_rows, dataset.rows, dataset.files) == (4000, 4000, data.FEWEST_FILES)
    ids = table["id"].to_pylist()
    assert max(ids) < 1000 and len(set(ids)) > 900
    assert {len(words.split(" ")) for words in table["payload"].to_pylist()} == {3}
    assert set(table["name"].to_pylist()) == set(data.NAMES)
    assert 65 < dataset.arrow_bytes / dataset.rows < 80
    assert pc.sum(table["timestamp"].is_null()).as_py() == 0


def test_rows_that_do_not_divide_are_all_there(tmp_path: Path) -> None:
    made = data.ensure(tmp_path, 101, 1)
    assert pq.read_table(made.folder).num_rows == 101


def test_data_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    made = data.ensure(tmp_path, 101, 1)
    (made.folder / "part-0003.parquet").unlink()
    assert data.ensure(tmp_path, 101, 1).files == data.FEWEST_FILES
