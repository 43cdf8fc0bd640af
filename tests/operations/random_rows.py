"""Random input for whole operations: columns of flat and nested types with nulls, and a row number to know rows by."""

from __future__ import annotations

import decimal
import io
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from shuffle_worker.columns.schema import to_transport, transport_schema

DECLARED = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("key", pa.int32()),
        pa.field("text", pa.string(), metadata={"meaning": "words"}),
        pa.field("name", pa.dictionary(pa.int8(), pa.string())),
        pa.field("real", pa.float64()),
        pa.field("price", pa.decimal128(30, 5)),
        pa.field("when", pa.timestamp("ns", "UTC")),
        pa.field("flag", pa.bool_()),
        pa.field("nothing", pa.null()),
        pa.field("tags", pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.field("point", pa.struct([("x", pa.float32()), ("bytes", pa.large_binary())])),
        pa.field("counts", pa.map_(pa.string(), pa.int16())),
    ],
    metadata={"source": "test"},
)


_file = io.BytesIO()
pq.write_table(DECLARED.empty_table(), _file)
SCHEMA = pq.read_schema(_file)
"""As read from a file: Parquet has its own names for the children of lists and maps."""


def input_rows(count: int, seed: int, distinct: int = 12) -> pa.RecordBatch:
    """Rows of `SCHEMA`, from a seed: about `distinct` values of each key column, one in eight of them null."""
    random = np.random.default_rng(seed)

    def pick(values: list[object]) -> list[object]:
        return [None if random.random() < 0.125 else values[i] for i in random.integers(0, len(values), count)]

    numbers = range(distinct)
    columns = {
        "row": pa.array(range(count), pa.int64()),
        "key": pa.array(pick([n * 7 - 20 for n in numbers]), pa.int32()),
        "text": pa.array(pick(["shared prefix of all/" * (n % 4) + "x" * n for n in numbers]), pa.string()),
        "name": pa.array(pick([f"name {n % 100}" for n in numbers]), pa.string())
        .dictionary_encode()
        .cast(SCHEMA.field("name").type),
        "real": pa.array(pick([0.0, -0.0, float("nan"), float("inf"), *(n / 4 for n in numbers)]), pa.float64()),
        "price": pa.array(pick([decimal.Decimal(n - 5) / 8 for n in numbers]), pa.decimal128(30, 5)),
        "when": pa.array(pick([n * 10**15 + 1 for n in numbers]), pa.int64()).cast(SCHEMA.field("when").type),
        "flag": pa.array(pick([True, False]), pa.bool_()),
        "nothing": pa.nulls(count),
        "tags": pa.array(pick([["a", None, "b"][: n % 4] for n in numbers]), pa.list_(pa.string())).cast(
            SCHEMA.field("tags").type
        ),
        "point": pa.array(pick([{"x": n / 2, "bytes": b"\x00" * n} for n in numbers]), SCHEMA.field("point").type),
        "counts": pa.array(pick([[("a", n), ("b", None)][: n % 3] for n in numbers]), SCHEMA.field("counts").type),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def travelling(batch: pa.RecordBatch) -> pa.RecordBatch:
    """As a reader gives them: in the transport schema."""
    return pa.RecordBatch.from_arrays(
        [to_transport(column) for column in batch.columns], schema=transport_schema(batch.schema)
    )


def cut(batch: pa.RecordBatch, pieces: int) -> list[pa.RecordBatch]:
    edges = [batch.num_rows * at // pieces for at in range(pieces + 1)]
    return [batch.slice(a, b - a) for a, b in itertools.pairwise(edges)]


def comparable(table: pa.Table) -> list[tuple[object, ...]]:
    """Rows that Python can compare (NaN equals itself, nanoseconds are numbers)."""
    at = table.schema.get_field_index("when")
    table = table.set_column(at, "when", table.column(at).cast(pa.int64()))
    return [tuple(str(value) for value in row.values()) for row in table.to_pylist()]


key_columns = st.sampled_from(["key", "text", "name", "real", "price", "when", "flag", "nothing"])
