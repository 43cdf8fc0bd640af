"""Joins of awkward shapes: nothing on a side, very many columns or files, names that others use; and bad input, refused
while planning with words that help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import carried_out, in_duckdb, job_of, join, joined, planned, rows_of, written

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Join

HOW = {"Inner": "INNER", "Left": "LEFT", "Right": "RIGHT", "Full": "FULL", "LeftSemi": "SEMI", "LeftAnti": "ANTI"}


@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("empty", ["left", "right", "both"])
@pytest.mark.parametrize("broadcast", [0, 1 << 20])
def test_an_empty_side(tmp_path: Path, how: str, empty: str, broadcast: int) -> None:
    left, right = (
        pa.table({"k": [1, 2, None], "a": ["x", "y", "z"]}),
        pa.table({"k": [2, 3, None], "b": [1.0, 2.0, 3.0]}),
    )
    left = left.slice(0, 0 if empty in ("left", "both") else 3)
    right = right.slice(0, 0 if empty in ("right", "both") else 3)
    found = joined(tmp_path, left, right, join(how), partitions=2, broadcast=broadcast)
    query = f"SELECT * FROM l {HOW[how]} JOIN r USING (k)"
    assert rows_of(found.table) == rows_of(in_duckdb(left, right, query))
    assert len(found.files.tables()) == 2


def test_a_thousand_columns(tmp_path: Path) -> None:
    left = pa.table({"k": np.arange(60), **{f"c{n}": np.full(60, n) for n in range(1000)}})
    right = pa.table({"k": np.arange(30, 90), **{f"c{n}": np.full(60, -n) for n in range(1000)}})
    found = joined(tmp_path, left, right, join(suffixes=["_l", "_r"])).table
    assert found.column_names == ["k", *(f"c{n}_l" for n in range(1000)), *(f"c{n}_r" for n in range(1000))]
    assert sorted(found["k"].to_pylist()) == list(range(30, 60))
    assert (found["c7_l"][0].as_py(), found["c7_r"][0].as_py()) == (7, -7)


@pytest.mark.parametrize("partitions", [1, 128, 600])
def test_many_files(tmp_path: Path, partitions: int) -> None:
    left, right = pa.table({"k": np.arange(3000) % 900, "a": np.arange(3000)}), pa.table({"k": np.arange(1200)})
    found = joined(tmp_path, left, right, join("Right"), partitions=partitions)
    tables = found.files.tables()
    assert len(tables) == partitions
    assert rows_of(found.table) == rows_of(in_duckdb(left, right, "SELECT k, a FROM l RIGHT JOIN r USING (k)"))
    if partitions == 128:
        tight = carried_out(found.plan, memory=20_000, scratch=tmp_path / "scratch")
        assert tight.files.files == found.files.files


def test_awkward_names(tmp_path: Path) -> None:
    names = ["a b", "a.b", "", "__index_level_0__", "k", "left", "K", "_right_", "__null_dask_index__"]
    left = pa.table({name: [n, n + 1, n + 2] for n, name in enumerate(names)})
    right = pa.table({name: [n, n + 2, n + 4] for n, name in enumerate(names)})
    found = joined(tmp_path, left, right, join("Inner", ["a b", "a.b"]))
    assert found.table.column_names == [*names, *(f"{name}_right" for name in names[2:])]
    assert sorted(found.table["a b"].to_pylist()) == [0, 2]


def test_dictionaries_and_nested_columns_come_through(tmp_path: Path) -> None:
    left = pa.table(
        {
            "k": pa.array(["x", "y", "x", None]).dictionary_encode(),
            "list": [[1], [], None, [2, 3]],
            "struct": [{"a": 1}, {"a": None}, None, {"a": 4}],
        }
    )
    right = pa.table(
        {
            "k": pa.array(["x", "z"], pa.large_string()),
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        }
    )
    found = joined(tmp_path, left, right, join("Left")).table
    assert found.schema.field("k").type == pa.dictionary(pa.int32(), pa.string())
    assert found.schema.field("map").type == right.schema.field("map").type
    rows = sorted(found.to_pylist(), key=repr)
    assert rows == sorted(
        [
            {"k": "x", "list": [1], "struct": {"a": 1}, "map": [("a", 1)]},
            {"k": "x", "list": None, "struct": None, "map": [("a", 1)]},
            {"k": "y", "list": [], "struct": {"a": None}, "map": None},
            {"k": None, "list": [2, 3], "struct": {"a": 4}, "map": None},
        ],
        key=repr,
    )


def test_filters_and_columns_of_each_side(tmp_path: Path) -> None:
    left, right = (
        pa.table({"k": np.arange(100), "a": np.arange(100) % 7}),
        pa.table({"k": np.arange(100), "b": np.arange(100) % 5}),
    )
    found = joined(
        tmp_path, left, right, join(), filters=("a = 3", "b > 1"), columns=(["k"], ["k", "b"]), partitions=2
    ).table
    expected = in_duckdb(left, right, "SELECT k, b FROM l JOIN r USING (k) WHERE a = 3 AND b > 1")
    assert rows_of(found) == rows_of(expected)
    semi = joined(tmp_path, left, right, join("LeftSemi"), filters=("", "b > 1"))
    assert semi.plan.inputs[1].arrow_schema().names == ["k"]
    assert semi.table.num_rows == 60


@pytest.mark.parametrize(
    ("operation", "more", "said"),
    [
        (join("Inner", ["nope"]), {}, r"operation.join.on\[0\]: the input has no column 'nope'"),
        (join("Inner", ["K"]), {}, "did you mean 'k'"),
        (join("Inner", ["k"], ["x"]), {}, r"operation.join.rightOn\[0\]: the input has no column 'x'"),
        (join("Inner", ["k", "k"]), {}, "'k' is named twice"),
        (Join("Inner", 0, 1, ["k"], []), {}, "1 keys of the left input and 0 of the right one"),
        (join(suffixes=["", ""]), {}, "would give two columns of the output the name 'a'"),
        (join(suffixes=["", "2"]), {}, "would give two columns of the output the name 'a2'"),
        (join(), {"columns": (["a"], None)}, r"'k' is a key but not among inputs\[0\].columns"),
        (join(), {"columns": (None, ["a"])}, r"'k' is a key but not among inputs\[1\].columns"),
        (
            join(),
            {"filters": ("b > 3", "")},
            r"inputs\[0\].filter: 'b' is a column of the input 'right'.*inputs\[1\].filter",
        ),
        (join(), {"filters": ("", "c > 3")}, r"inputs\[1\].filter: the input has no column 'c'"),
        (join(), {"filters": ("", "b > ")}, r"inputs\[1\].filter"),
        (join("Inner", ["list"]), {}, "neither ordered nor hashed"),
        (join(), {"sort_within": ["b2"]}, r"output.sortWithin\[0\]: the output has no column 'b2'"),
    ],
)
def test_bad_input_is_refused_while_planning(
    tmp_path: Path, operation: Join, more: dict[str, object], said: str
) -> None:
    table = pa.table({"k": [1], "a": [2], "list": [[1]]})
    written(tmp_path / "left", table.append_column("a2", pa.array([1])))
    written(tmp_path / "right", table.append_column("b", pa.array([3])))
    with pytest.raises(InvalidSpec, match=said):
        planned(job_of(tmp_path, operation, **more))  # type: ignore[arg-type]
