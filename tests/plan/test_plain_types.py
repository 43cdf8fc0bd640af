"""The form in which rows travel, and the way back to what the files declare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conformance.test_readers import COLUMNS
from tests.plan.jobs import job, plan_of, read_all, write

from shuffle_worker.columns.schema import convert, restore, to_transport, transport_schema, transport_type

DICT = pa.dictionary(pa.int32(), pa.int64())
TEXT_DICT = pa.dictionary(pa.int16(), pa.large_string(), ordered=True)


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (pa.int64(), pa.int64()),
        (DICT, pa.int64()),
        (TEXT_DICT, pa.large_string()),
        (pa.string_view(), pa.string()),
        (pa.binary_view(), pa.binary()),
        (pa.dictionary(pa.int8(), pa.string_view()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.string()), pa.string()),
        (pa.list_(DICT), pa.list_(pa.int64())),
        (pa.list_view(pa.int64()), pa.list_(pa.int64())),
        (pa.list_(DICT, 3), pa.list_(pa.int64(), 3)),
        (pa.struct([("a", DICT), ("b", pa.string_view())]), pa.struct([("a", pa.int64()), ("b", pa.string())])),
        (pa.map_(pa.string(), TEXT_DICT), pa.map_(pa.string(), pa.large_string())),
        (pa.list_(pa.struct([("a", pa.list_(DICT))])), pa.list_(pa.struct([("a", pa.list_(pa.int64()))]))),
    ],
)
def test_the_plain_form_of_a_type(kind: pa.DataType, plain: pa.DataType) -> None:
    assert transport_type(kind) == plain
    assert transport_type(plain) == plain


def test_names_nullability_and_metadata_stay() -> None:
    schema = pa.schema(
        [pa.field("d", DICT, nullable=False, metadata={"unit": "m"}), pa.field("l", pa.list_(DICT))],
        metadata={"owner": "me"},
    )
    plain = transport_schema(schema)
    assert plain.field("d").equals(pa.field("d", pa.int64(), False, {"unit": "m"}), check_metadata=True)
    assert plain.metadata == {b"owner": b"me"}


NESTED: dict[str, Any] = {
    "list": ([[1, 2], None, [], [None, 1]], pa.list_(DICT)),
    "large_list": ([[1, 2], None, [], [None, 1]], pa.large_list(DICT)),
    "fixed": ([[1, 2], None, [3, 3], [None, 1]], pa.list_(DICT, 2)),
    "struct": (
        [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 1, "b": None}],
        pa.struct([("a", DICT), ("b", pa.string())]),
    ),
    "map": ([[("k", 1)], None, [], [("x", None), ("y", 1)]], pa.map_(pa.string(), DICT)),
    "deep": ([[{"a": [1]}], None, [], [None, {"a": None}]], pa.list_(pa.struct([("a", pa.list_(DICT))]))),
}


@pytest.mark.parametrize("name", list(NESTED))
@pytest.mark.parametrize("cut", [(0, 4), (1, 3), (3, 1), (2, 0)])
def test_dictionaries_of_any_type_at_any_depth(name: str, cut: tuple[int, int]) -> None:
    values, kind = NESTED[name]
    plain = pa.array(values, transport_type(kind)).slice(*cut)
    there = convert(plain, kind)
    there.validate(full=True)
    assert there.type == kind
    assert there.to_pylist() == plain.to_pylist()
    back = to_transport(there.slice(0))
    assert back.type == transport_type(kind)
    assert back.to_pylist() == plain.to_pylist()


@pytest.mark.parametrize("name", list(COLUMNS))
def test_there_and_back(name: str) -> None:
    column = COLUMNS[name]
    schema = pa.schema([pa.field("c", column.type)])
    rows = pa.RecordBatch.from_arrays([to_transport(column)], schema=transport_schema(schema))
    for back in (restore(rows, schema), restore(pa.Table.from_batches([rows, rows]), schema)):
        back.validate(full=True)
        assert back.schema == schema
        assert str(back.column("c").to_pylist()[:5]) == str(column.to_pylist())


def test_a_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        convert(pa.array([300]), pa.int8())
    many = pa.array([f"{n}" for n in range(200)])
    with pytest.raises(pa.ArrowInvalid):
        convert(many, pa.dictionary(pa.int8(), pa.string()))


def letters(prefix: str, count: int) -> pa.Table:
    return pa.table({"d": pa.array([f"{prefix}{n}" for n in range(count)]).cast(pa.dictionary(pa.int8(), pa.string()))})


def test_a_narrow_index_stays_where_all_files_together_fit_it(tmp_path: Path) -> None:
    write(tmp_path, {"a": letters("x", 100), "b": letters("x", 100), "c": letters("y", 20)}, row_group_size=30)
    plan = plan_of(job(tmp_path))
    assert plan.arrow_schema().field("d").type == pa.dictionary(pa.int8(), pa.string())
    assert read_all(plan)[0].num_rows == 220


def test_a_narrow_index_is_widened_where_they_do_not(tmp_path: Path) -> None:
    write(tmp_path, {"a": letters("x", 100), "b": letters("y", 100)})
    plan = plan_of(job(tmp_path))
    assert plan.arrow_schema().field("d").type == pa.dictionary(pa.int32(), pa.string())
    found, _ = read_all(plan, 10_000)
    assert found.column("d").to_pylist() == [f"x{n}" for n in range(100)] + [f"y{n}" for n in range(100)]


def test_a_narrow_index_too_big_to_count_is_widened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shuffle_worker.inputs import dictionaries

    monkeypatch.setattr(dictionaries, "MOST_STORED", 10)
    write(tmp_path, {"a": letters("x", 5)})
    assert plan_of(job(tmp_path)).arrow_schema().field("d").type == pa.dictionary(pa.int32(), pa.string())
