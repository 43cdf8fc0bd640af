"""Types by their names: what Arrow prints for a type is read as that type, and what is none is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.type_names import parse_type, schema_of_names

TYPES = [
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal32(5, 2),
    pa.decimal128(38, 10),
    pa.decimal256(60, -2),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time64("ns"),
    pa.timestamp("s"),
    pa.timestamp("us", "Europe/Berlin"),
    pa.duration("ms"),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(16),
    pa.list_(pa.int64()),
    pa.list_(pa.field("element", pa.string(), nullable=False)),
    pa.large_list(pa.list_(pa.date32())),
    pa.list_(pa.int16(), 3),
    pa.struct([("a b", pa.int8()), pa.field("c", pa.list_(pa.string()), nullable=False)]),
    pa.struct([]),
    pa.map_(pa.string(), pa.struct([("x", pa.decimal128(5, 1))])),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.decimal128(5, 2), ordered=True),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_what_arrow_prints_is_read(kind: pa.DataType) -> None:
    assert parse_type(str(kind), "here") == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("decimal(10, 2)", pa.decimal128(10, 2)),
        (" Double ", pa.float64()),
        ("list<string>", pa.list_(pa.string())),
        ("map<string,int64>", pa.map_(pa.string(), pa.int64())),
        ("timestamp", pa.timestamp("us")),
        ("struct<a:int64,b:list<double>>", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))])),
    ],
)
def test_what_people_write(text: str, kind: pa.DataType) -> None:
    assert parse_type(text, "here") == kind


@pytest.mark.parametrize("text", ["", "strin", "int64]", "decimal128(400, 2)", "list<", "struct<a>", "timestamp[min]"])
def test_what_is_no_type_is_refused_by_its_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"inputs\[0\]\.schema\[1\]\.type: "):
        schema_of_names([("ok", "int64"), ("x", text)], "inputs[0].schema")


def test_a_near_name_is_told() -> None:
    with pytest.raises(InvalidSpec, match="did you mean string"):
        parse_type("strng", "here")


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'x' is declared twice"):
        schema_of_names([("x", "int64"), ("x", "string")], "here")
