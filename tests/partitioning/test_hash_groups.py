"""Groups numbered by one sort of their keys' hashes are the groups that a table of the keys finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from shuffle_worker.aggregation.grouped import Groups
from shuffle_worker.partitioning import hash_groups
from shuffle_worker.partitioning.codes import dense
from shuffle_worker.partitioning.hash import hash_rows
from shuffle_worker.partitioning.hash_groups import GLANCE, numbered

ROWS = 3 * GLANCE


def drawn(most: int, seed: int = 1) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, most, ROWS)


MANY = drawn(2 * ROWS)
COLUMNS: dict[str, list[pa.Array[Any]]] = {
    "int64": [pa.array(MANY - ROWS)],
    "int16": [pa.array((MANY - ROWS).astype(np.int16))],
    "uint64": [pa.array(MANY.astype(np.uint64) * np.uint64(1 << 50))],
    "timestamp": [pa.array(MANY).cast(pa.timestamp("us"))],
    "date32": [pa.array(MANY.astype(np.int32)).cast(pa.date32())],
    "two": [pa.array(MANY % 97), pa.array(MANY // 97)],
}


@pytest.mark.parametrize("known", [0, GLANCE // 2])
@pytest.mark.parametrize("name", COLUMNS)
def test_groups_are_those_of_a_table(name: str, known: int) -> None:
    firsts = np.unique(np.column_stack([column.cast(pa.int64()) for column in COLUMNS["two"]]), axis=0, return_index=1)
    chosen = pa.array(np.concatenate([np.sort(firsts[1])[:known], np.arange(ROWS)]))
    columns = [column.take(chosen) for column in COLUMNS[name]]
    found = numbered(columns, known)
    assert found is not None
    codes, count = dense(columns)
    assert found.codes[:known].tolist() == list(range(known))
    assert len(set(zip(found.codes.tolist(), codes.tolist(), strict=True))) == count == known + len(found.fresh)
    assert found.codes[found.fresh].tolist() == list(range(known, count))
    hashes = hash_rows(columns)[found.fresh]
    assert (hashes[1:] > hashes[:-1]).all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(drawn(GLANCE // 4)),
        pa.array([None, *range(ROWS)]),
        pa.array(MANY.astype(np.float64)),
        pa.array([str(one) for one in MANY]),
        pa.array(range(GLANCE - 1)),
        pa.array(MANY).cast(pa.date64()),  # hashed by days, and told apart by milliseconds
    ],
    ids=["few", "nulls", "floats", "text", "too few rows", "equal hashes"],
)
def test_other_keys_are_left_to_a_table(column: pa.Array[Any]) -> None:
    assert numbered([column], 0) is None


def test_keys_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_groups, "hash_rows", lambda columns: hash_rows(columns) & np.uint64(0xFFF))
    keys = pa.record_batch({"key": pa.array(MANY)})
    groups = Groups(keys.schema)
    for at in range(0, ROWS, 2 * GLANCE):
        some = keys.slice(at, 2 * GLANCE)
        codes = groups.codes(some)
        assert groups.keys.column(0).take(pa.array(codes)) == some.column(0)
    assert groups.count == len(np.unique(MANY))


def test_what_comes_in_later_keeps_the_numbers_of_what_came_before() -> None:
    keys = pa.record_batch({"key": pa.array(MANY)})
    groups = Groups(keys.schema)
    first = groups.codes(keys)
    known = groups.keys
    more = pa.record_batch({"key": pa.array(np.concatenate([MANY + ROWS, MANY]))})
    codes = groups.codes(more)
    assert groups.keys.slice(0, known.num_rows) == known
    assert codes[ROWS:].tolist() == first.tolist()
    assert groups.keys.column(0).take(pa.array(codes)) == more.column(0)
