"""Types by their names: what Arrow prints for a type is read as that type, and what is none is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.type_words import INSTEAD, SAME
from shuffle_worker.columns.type_names import parse_type, schema_of_names

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
        ("bigint", pa.int64()),
        ("BIGINT", pa.int64()),
        ("Int64", pa.int64()),
        ("int64[pyarrow]", pa.int64()),
        ("long", pa.int64()),
        ("integer", pa.int64()),
        ("smallint", pa.int16()),
        ("tinyint", pa.int8()),
        ("UBIGINT", pa.uint64()),
        ("real", pa.float32()),
        ("double precision", pa.float64()),
        ("float8", pa.float64()),
        ("Float64", pa.float64()),
        ("varchar", pa.string()),
        ("VARCHAR(255)", pa.string()),
        ("character varying (20)", pa.string()),
        ("text", pa.string()),
        ("str", pa.string()),
        ("Utf8", pa.string()),
        ("blob", pa.binary()),
        ("boolean", pa.bool_()),
        ("date", pa.date32()),
        ("datetime", pa.timestamp("us")),
        ("datetime64[ns]", pa.timestamp("ns")),
        ("datetime64[us, UTC]", pa.timestamp("us", "UTC")),
        ("timestamptz", pa.timestamp("us", "UTC")),
        ("timestamp with time zone", pa.timestamp("us", "UTC")),
        ("TIMESTAMP_NTZ", pa.timestamp("us")),
        ("timedelta64[ns]", pa.duration("ns")),
        ("time", pa.time64("us")),
        ("time[ms]", pa.time32("ms")),
        ("numeric(12, 2)", pa.decimal128(12, 2)),
        ("decimal(50,2)", pa.decimal256(50, 2)),
        ("array<bigint>", pa.list_(pa.int64())),
        ("varchar[]", pa.list_(pa.string())),
        ("int[][]", pa.list_(pa.list_(pa.int64()))),
        ("list<float>[3]", pa.list_(pa.float32(), 3)),
        ("map<varchar, array<int>>", pa.map_(pa.string(), pa.list_(pa.int64()))),
        ("STRUCT<a: BIGINT, b: VARCHAR NOT NULL>", pa.struct([("a", pa.int64()), pa.field("b", pa.string(), False)])),
        ("struct<a:int64,b:list<double>>", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))])),
    ],
)
def test_what_people_write(text: str, kind: pa.DataType) -> None:
    assert parse_type(text, "here") == kind


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("list<" * 31 + "int8" + ">" * 31, 32),
        ("list<" * 32 + "int8" + ">" * 32, 33),
        ("int" + "[]" * 31, 32),
        ("int" + "[]" * 32, 33),
        ("int" + "[]" * 400, 401),
        ("int" + "[]" * 100_000, 100_001),
        ("list<int" + "[]" * 20 + ">" + "[]" * 10, 32),
        ("list<int" + "[]" * 20 + ">" + "[]" * 11, 33),
        ("list<" * 20 + "int" + "[]" * 11 + ">" * 20, 32),
        ("list<" * 20 + "int" + "[]" * 12 + ">" * 20, 33),
        ("struct<" + ", ".join(f"a{n}: int[][]" for n in range(100)) + ">", 4),
    ],
    ids=lambda value: str(value)[:20],
)
def test_how_deep_a_type_may_be(text: str, levels: int) -> None:
    if levels <= 32:
        assert parse_type(text, "here")
    else:
        with pytest.raises(InvalidSpec, match="it is nested more than 32 deep"):
            parse_type(text, "here")


NONE = [
    "", " ", "strin", "int64]", "decimal128(400, 2)", "decimal(0, 0)", "list<", "struct<a>", "timestamp[min]",
    "time32[ns]", "time64[s]", "decimal", "decimal128(10, 99)", "timestamp[us, tz=Mars/Base]", "list<>",
    "dictionary<values=int8, indices=string>", "list<" * 40 + "int8" + ">" * 40, "fixed_size_binary[99999999999]",
    "int64 int64", "int64, string", "bigint(20)", "uuid", "category", "object", "interval", "map<string>", "\u00e9",
    "int64\x00", "pl.Int64", "LongType()", "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", NONE, ids=lambda text: repr(text)[:30])
def test_what_is_no_type_is_refused_by_its_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"inputs\[0\]\.schema\[1\]\.type: "):
        schema_of_names([("ok", "int64"), ("x", text)], "inputs[0].schema")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strng", r"did you mean string\?"),
        ("bigin", r"did you mean int64\?"),
        ("varchr", r"did you mean string\?"),
        ("LongType()", r"did you mean int64\?"),
        ("pl.Int64", r"did you mean int64\?"),
        ("pa.string()", r"did you mean string\?"),
        ("uuid", r"write string, or fixed_size_binary\[16\]"),
        ("category", "write dictionary<values=string, indices=int32>"),
        ("decimal", r"write decimal128\(18, 2\)"),
        ("duration", r"write duration\[us\]"),
        ("list<strng>", r"did you mean string\?"),
        ("xyzzy", "write for example int64, double"),
        ("timestamp[us, tz=Mars/Base]", "there is no time zone 'Mars/Base'"),
    ],
)
def test_what_to_write_is_told(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        parse_type(text, "here")


def test_every_word_has_a_type() -> None:
    for word, meant in SAME.items():
        assert str(parse_type(word, "here")) == str(parse_type(meant, "here")), word
    for word, instead in INSTEAD.items():
        parse_type(instead.partition(", or ")[0].partition(", with")[0], word)


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'x' is declared twice"):
        schema_of_names([("x", "int64"), ("x", "string")], "here")
