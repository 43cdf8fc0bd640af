"""What every output format must do (the contract of `writers/base.py`), run for each of them."""

from __future__ import annotations

import decimal
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.schema import restore, transport_schema
from shuffle_worker.writers.base import WriterOptions, output_format


class Case(NamedTuple):
    """A format, and how to read its files back."""

    name: str
    read: Callable[[bytes], pa.Table]
    row_groups: Callable[[bytes], list[int]]


def parquet_row_groups(data: bytes) -> list[int]:
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


FORMATS = [Case("Parquet", lambda data: pq.read_table(io.BytesIO(data), use_threads=False), parquet_row_groups)]
CODECS = [None, "None", "Snappy", "Lz4", "Zstd", "Gzip", "Brotli"]

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
    writer = output_format(case.name).open(sink, SCHEMA, options)
    for group in groups:
        writer.write(restore(group, SCHEMA))
    writer.close()
    assert sink.calls == []
    return sink.data.getvalue()


@pytest.fixture(params=FORMATS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.mark.parametrize("compression", CODECS)
def test_what_goes_in_comes_out(case: Case, compression: str | None) -> None:
    groups = [rows(40), rows(25, 40)]
    options = WriterOptions(compression, ["text", "name", "tags", "point", "map"])
    data = written(case, groups, options)
    table = case.read(data)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table.to_pylist() == restore(pa.Table.from_batches(groups), SCHEMA).to_pylist()
    assert case.row_groups(data) == [40, 25]


def test_a_file_without_rows_has_the_schema(case: Case) -> None:
    table = case.read(written(case, [], WriterOptions("Zstd", [])))
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA, check_metadata=True)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(0, 9))
def test_bytes_depend_on_rows_not_on_memory_layout(sizes: list[int], skip: int) -> None:
    """A slice of something larger is written as the same rows by themselves would be."""
    for case in FORMATS:
        options = WriterOptions("Snappy", ["name"])
        whole = rows(skip + sum(sizes) + 3)
        slices, alone, at = [], [], skip
        for size in sizes:
            slices.append(whole.slice(at, size))
            alone.append(rows(size, at))
            at += size
        assert written(case, slices, options) == written(case, alone, options)


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
    writer = output_format(case.name).open(sink, SCHEMA, WriterOptions("Snappy", []))
    writer.write(restore(rows(10), SCHEMA))
    before = sink.size
    writer.abort()
    del writer
    assert sink.size == before and sink.calls == []


def test_a_sink_that_fails_is_heard(case: Case) -> None:
    class Full(BytesSink):
        def write(self, data: bytes | memoryview) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        writer = output_format(case.name).open(Full(), SCHEMA, WriterOptions("Snappy", []))
        try:
            writer.write(restore(rows(10), SCHEMA))
            writer.close()
        finally:
            writer.abort()


def test_a_format_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="Excel cannot be written"):
        output_format("Excel")
