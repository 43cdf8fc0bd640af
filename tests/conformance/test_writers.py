"""What every output format must do (the contract of `writers/writer.py`), run for each of them."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.columns.schema import restore, transport_schema
from shuffle_worker.output.storable import storable
from shuffle_worker.writers.formats import output_format
from shuffle_worker.writers.json_text import lines
from shuffle_worker.writers.writer import WriterOptions


class Case(NamedTuple):
    """A format. lacks: columns of `DECLARED` that it has no form for. codecs: what its files are compressed with. read:
    the rows of a file; schema: what it says of its columns, None where it says nothing. row_groups: their rows."""

    name: str
    lacks: tuple[str, ...]
    codecs: tuple[str, ...]
    read: Callable[[bytes, str], list[dict[str, Any]]]
    schema: Callable[[bytes], pa.Schema] | None
    row_groups: Callable[[bytes], list[int]] | None


def parquet_row_groups(data: bytes) -> list[int]:
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


def feather_row_groups(data: bytes) -> list[int]:
    reader = pa.ipc.open_file(data)
    return [reader.get_batch(at).num_rows for at in range(reader.num_record_batches)]


def text_of(data: bytes, compression: str) -> bytes:
    if compression == "None":
        return data
    codec = {"Gzip": "gzip", "Zstd": "zstd", "Lz4": "lz4", "Brotli": "brotli"}[compression]
    return pa.CompressedInputStream(pa.BufferReader(data), codec).read()  # type: ignore[arg-type]


def read_csv(data: bytes, compression: str) -> list[dict[str, Any]]:
    schema = stored("CSV")
    kinds = {field.name: pa.float32() if field.type == pa.float16() else field.type for field in schema}
    convert = pc.ConvertOptions(
        column_types=kinds, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pc.read_csv(io.BytesIO(text_of(data, compression)), convert_options=convert).to_pylist()


def read_json(data: bytes, compression: str) -> list[dict[str, Any]]:
    """As Python reads it, and then with the types that JSON does not know."""
    rows = [json.loads(line, parse_float=decimal.Decimal) for line in text_of(data, compression).splitlines()]
    for row in rows:
        row["when"] = row["when"] and datetime.datetime.fromisoformat(row["when"])
        row["day"] = row["day"] and datetime.date.fromisoformat(row["day"])
        row["map"] = row["map"] and list(row["map"].items())
    return rows


TEXT_CODECS = ("None", "Gzip", "Zstd", "Lz4", "Brotli")
FORMATS = [
    Case(
        "Parquet",
        (),
        ("None", "Snappy", "Lz4", "Zstd", "Gzip", "Brotli"),
        lambda data, _: pq.read_table(io.BytesIO(data), use_threads=False).to_pylist(),
        lambda data: pq.read_schema(io.BytesIO(data)),
        parquet_row_groups,
    ),
    Case(
        "Feather",
        (),
        ("None", "Lz4", "Zstd"),
        lambda data, _: pa.ipc.open_file(data).read_all().to_pylist(),
        lambda data: pa.ipc.open_file(data).schema,
        feather_row_groups,
    ),
    Case(
        "ORC",
        ("span", "nothing"),
        ("None", "Snappy", "Lz4", "Zstd", "Gzip"),
        lambda data, _: pyarrow.orc.ORCFile(io.BytesIO(data)).read().to_pylist(),
        None,  # timestamps have nanoseconds there
        None,
    ),
    Case("CSV", ("bytes", "fixed", "span", "tags", "point", "map", "triple"), TEXT_CODECS, read_csv, None, None),
    Case("JSON", ("bytes", "fixed", "span"), TEXT_CODECS, read_json, None, None),
]
EVERY = [(case, codec) for case in FORMATS for codec in case.codecs]

DECLARED = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False, metadata={"unit": "none"}),
        pa.field("text", pa.string()),
        pa.field("large", pa.large_string()),
        pa.field("bytes", pa.binary()),
        pa.field("fixed", pa.binary(4)),
        pa.field("price", pa.decimal128(20, 4)),
        pa.field("when", pa.timestamp("us", "Europe/Paris")),
        pa.field("day", pa.date32()),
        pa.field("span", pa.duration("ms")),
        pa.field("flag", pa.bool_()),
        pa.field("half", pa.float16()),
        pa.field("nothing", pa.null()),
        pa.field("name", pa.dictionary(pa.int16(), pa.string())),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("point", pa.struct([pa.field("x", pa.float64(), nullable=False), pa.field("y", pa.list_(pa.int8()))])),
        pa.field("map", pa.map_(pa.string(), pa.int32())),
        pa.field("triple", pa.list_(pa.int16(), 3)),
    ],
    metadata={"made by": "a test"},
)


def as_read(schema: pa.Schema) -> pa.Schema:
    """The schema as it comes out of a file: Parquet has its own names for the children of lists and maps."""
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    return pq.read_schema(file)


SCHEMA = as_read(DECLARED)


def value_of(kind: pa.DataType, i: int) -> Any:
    if pa.types.is_dictionary(kind):
        return f"name {i % 3}"
    return {
        "id": i,
        "string": f"text {i}" * (i % 4),
        "large_string": f"large {i}",
        "binary": b"\x00\xff" * (i % 3),
        "fixed_size_binary[4]": i.to_bytes(4, "big"),
        "decimal128(20, 4)": decimal.Decimal(i) / 4,
        "bool": i % 2 == 0,
        "null": None,
        "list<element: string>": ["a", None, f"{i}"][: i % 4],
    }.get(str(kind), i)


def declared(name: str) -> pa.Schema:
    """The columns that a format has a form for."""
    lacks = next(case.lacks for case in FORMATS if case.name == name)
    return pa.schema([field for field in SCHEMA if field.name not in lacks], SCHEMA.metadata)


def stored(name: str) -> pa.Schema:
    return storable(declared(name), name)


def travelling(schema: pa.Schema) -> pa.Schema:
    """Arrow's own format has one name for the entries of a map, so schemas are compared as they travel."""
    return pa.ipc.read_schema(schema.serialize())


def rows(count: int, first: int = 0) -> pa.RecordBatch:
    """Rows with nulls in every nullable column, in the plain types of the transport."""
    schema = transport_schema(SCHEMA)
    columns = []
    for at, field in enumerate(schema):
        values: list[Any] = []
        for i in range(first, first + count):
            if field.nullable and (i + at) % 7 == 0:
                values.append(None)
            elif field.name == "point":
                values.append({"x": i / 2, "y": [i % 100, None]})
            elif field.name == "map":
                values.append([("k", i), ("l", None)])
            elif field.name == "triple":
                values.append([i % 99, None, 1])
            else:
                values.append(value_of(field.type, i))
        columns.append(
            pa.array(values, pa.int64()).cast(field.type)
            if pa.types.is_temporal(field.type) and field.type.bit_width == 64
            else pa.array(values, field.type)
        )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class BytesSink:
    def __init__(self) -> None:
        self.data = io.BytesIO()
        self.calls: list[str] = []

    def write(self, data: bytes | memoryview) -> int:
        return self.data.write(data)

    def commit(self) -> None:
        self.calls.append("commit")

    def abort(self) -> None:
        self.calls.append("abort")

    @property
    def size(self) -> int:
        return self.data.tell()

    @property
    def checksum(self) -> str:
        raise AssertionError("a writer has no need of the checksum")


def written(case: Case, groups: list[pa.RecordBatch], options: WriterOptions) -> bytes:
    sink = BytesSink()
    schema = stored(case.name)
    writer = output_format(case.name)(sink, schema, options)
    for group in groups:
        writer.write(restore(group.select(schema.names), schema))
    writer.close()
    assert sink.calls == []
    return sink.data.getvalue()


@pytest.fixture(params=FORMATS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.mark.parametrize(("case", "compression"), EVERY, ids=lambda one: one if isinstance(one, str) else one.name)
def test_what_goes_in_comes_out(case: Case, compression: str) -> None:
    groups = [rows(40), rows(25, 40)]
    options = WriterOptions(compression, ["text", "name", "tags", "point", "map"])
    data = written(case, groups, options)
    if case.schema is not None:
        assert travelling(case.schema(data)).equals(travelling(stored(case.name)), check_metadata=True)
    names = declared(case.name).names
    expected = restore(pa.Table.from_batches(groups), SCHEMA).select(names).to_pylist()
    assert case.read(data, compression) == expected
    if case.row_groups is not None:
        assert case.row_groups(data) == [40, 25]


def test_a_file_without_rows(case: Case) -> None:
    """It has the schema where the format has one."""
    data = written(case, [], WriterOptions("None", []))
    if case.schema is not None:
        assert travelling(case.schema(data)).equals(travelling(stored(case.name)), check_metadata=True)
    if case.name == "JSON":
        assert data == b""
    elif case.name == "ORC":
        assert pyarrow.orc.ORCFile(io.BytesIO(data)).schema.names == stored("ORC").names
    assert case.read(data, "None") == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(0, 9))
def test_bytes_depend_on_rows_not_on_memory_layout(sizes: list[int], skip: int) -> None:
    """A slice of something larger is written as the same rows by themselves would be."""
    for case in FORMATS:
        options = WriterOptions(case.codecs[-1], ["name"])
        whole = rows(skip + sum(sizes) + 3)
        slices, alone, at = [], [], skip
        for size in sizes:
            slices.append(whole.slice(at, size))
            alone.append(rows(size, at))
            at += size
        assert written(case, slices, options) == written(case, alone, options), case.name


def test_a_file_that_is_written_again_has_the_same_bytes(case: Case) -> None:
    options = WriterOptions(case.codecs[-1], ["name"])
    groups = [rows(40), rows(25, 40)]
    assert written(case, groups, options) == written(case, groups, options)


TEXTS = ["plain", "", 'a "quote"', "back\\slash", "two\nlines", "\r", "tab\t", "\x00\x01\x1f\x7f", "ünï ☃ 𝄞", "\u2028"]


def test_any_text_is_json() -> None:
    batch = pa.record_batch({TEXTS[2] + TEXTS[8]: TEXTS, "n": pa.array([[text] for text in TEXTS])})
    found = [json.loads(line) for line in bytes(lines(batch).buffers()[2] or b"").decode().split("\n")[:-1]]
    assert found == batch.to_pylist()


def test_numbers_in_json_are_exact() -> None:
    values = [0.1, -0.0, 1e300, 5e-324, float("inf"), float("-inf"), None, 2.0**53]
    batch = pa.record_batch({"f": values, "i": pa.array([2**63 - 1, None, -(2**63), 0, 1, 2, 3, 4], pa.int64())})
    text = bytes(lines(batch).buffers()[2] or b"")
    found = [json.loads(line) for line in text.splitlines()]
    assert [str(row["f"]) for row in found] == [str(value) for value in values]
    assert [row["i"] for row in found] == batch.column("i").to_pylist()
    nan = pa.record_batch({"f": [float("nan")]})
    assert bytes(lines(nan).buffers()[2] or b"") == b'{"f":NaN}\n'


def test_a_dictionary_of_feather_grows_over_row_groups() -> None:
    kind = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema([("d", kind)])
    sink = BytesSink()
    writer = output_format("Feather")(sink, schema, WriterOptions("Zstd", []))
    columns = [["b", "a", None], ["c", "a", "a"], [None, None, "d"], ["b", "b", "b"]]
    for column in columns:
        writer.write(pa.record_batch([pa.array(column).dictionary_encode().cast(kind)], schema=schema))
    writer.close()
    found = pa.ipc.open_file(sink.data.getvalue()).read_all()
    assert found.column("d").type == kind
    assert found.column("d").to_pylist() == [value for column in columns for value in column]


def test_statistics_let_readers_skip() -> None:
    data = written(FORMATS[0], [rows(40), rows(25, 40)], WriterOptions("Snappy", []))
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1)
    assert (group.column(0).statistics.min, group.column(0).statistics.max) == (40, 64)


def test_only_the_chosen_columns_get_dictionaries() -> None:
    data = written(FORMATS[0], [rows(40)], WriterOptions("Snappy", ["text", "tags", "map", "point"]))
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    leaves = [group.column(at) for at in range(group.num_columns)]
    encoded = {leaf.path_in_schema for leaf in leaves if leaf.has_dictionary_page}
    below = {"text", "tags.list.element", "map.key_value.key", "map.key_value.value", "point.x", "point.y.list.element"}
    assert encoded == below


def test_abort_writes_nothing_more(case: Case) -> None:
    sink = BytesSink()
    schema = stored(case.name)
    writer = output_format(case.name)(sink, schema, WriterOptions(case.codecs[-1], []))
    writer.write(restore(rows(10).select(schema.names), schema))
    before = sink.size
    writer.abort()
    del writer
    assert sink.size == before and sink.calls == []


def test_a_sink_that_fails_is_heard(case: Case) -> None:
    class Full(BytesSink):
        def write(self, data: bytes | memoryview) -> int:
            raise OSError(28, "No space left on device")

    schema = stored(case.name)
    writer = None
    with pytest.raises(OSError, match="No space left"):
        try:
            writer = output_format(case.name)(Full(), schema, WriterOptions("None", []))
            writer.write(restore(rows(10).select(schema.names), schema))
            writer.close()
        finally:
            if writer is not None:
                writer.abort()


def test_a_format_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="Excel cannot be written"):
        output_format("Excel")
