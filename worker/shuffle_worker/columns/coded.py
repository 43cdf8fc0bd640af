"""Text columns of few values on their way: as codes into a list of values that the plan has.

A *coded* column is a dictionary array whose dictionary is the plan's. A row of it takes one byte where it is gathered,
sent, kept, spilled and joined, and its text is not touched between the dictionary page of the input and that of the
output. The plan knows the values of a sample only: a shard with others brings dictionaries of its own.

    shards   messages of batches, without schema and dictionaries. One with other values is batches of `PIECE` rows,
             each behind the dictionary that it needs, and behind them all the plan's again
    reading  `start` and any shards behind it are one Arrow stream
    joined   by `arrays.concat`: as codes while one byte counts the values, else as text
    written  by `in_order_of_rows`: an encoder that is given text makes the same dictionary, so a file does not tell
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, call, dictionary, nulls, parts, schema_of
from shuffle_worker.columns.convert import convert

CODE = pa.uint8()
MOST_VALUES = 128
"""Of a column that is coded, as the plan knows them. There is room for others besides."""

MOST_BYTES = 16 << 10
"""Of these values together: the plan has them, and every worker."""

PIECE = 255
"""Rows whose values one byte can count, whatever they are."""

MOST_KNOWN = 1 << 12
"""Values of a dictionary that are looked up among the plan's; in a larger one there are others for certain."""


def as_dictionaries(schema: pa.Schema, names: Collection[str], index: pa.DataType | None = None) -> pa.Schema:
    """The schema with some of its text columns as dictionary arrays. index: by default as Arrow has it."""
    if not names:
        return schema
    kind = dictionary(index or pa.int32(), pa.string(), ordered=False)
    return schema_of([one.with_type(kind) if one.name in names else one for one in schema], schema.metadata)


def codable(column: Array | pa.ChunkedArray[Any]) -> list[str] | None:
    """The values of a text column, where they can travel as codes."""
    if not pa.types.is_string(column.type):
        return None
    found = call("unique", column).drop_null()
    if not 0 < len(found) <= MOST_VALUES or found.nbytes > MOST_BYTES:
        return None
    try:
        return sorted(found.to_pylist())
    except UnicodeDecodeError:
        return None


class CodedColumns:
    """schema: the transport schema. values: those that the plan knows of each coded column."""

    def __init__(self, schema: pa.Schema, values: Mapping[str, Sequence[str]]) -> None:
        self.schema = as_dictionaries(schema, values, CODE)
        self._values: dict[int, Array] = {
            schema.get_field_index(name): parts(pa).array(some, pa.string()) for name, some in values.items()
        }
        self.text_row = sum(values.nbytes / max(len(values), 1) - 1 for values in self._values.values())
        """About the bytes that a row takes more without dictionaries."""
        self._before = self.schema.serialize().size
        self.start = self._start()
        """Of a stream of messages: the schema and the plan's dictionaries. Its length is a multiple of 8."""

    def coded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch with the plan's dictionaries, from one with any or none; as text where there are other values."""
        columns = list(batch.columns)
        for at, values in self._values.items():
            codes = _codes(columns[at], values)
            if codes is None:
                return as_text(batch)
            columns[at] = _dictionary_array(codes, values)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def messages_of(self, batch: pa.RecordBatch) -> Callable[[pa.RecordBatch], pa.Buffer]:
        """What makes the bytes of slices of a batch that `coded` gave."""
        coded = all(batch.column(at).type == self.schema.field(at).type for at in self._values)
        return pa.RecordBatch.serialize if coded else self._with_dictionaries

    def _with_dictionaries(self, batch: pa.RecordBatch) -> pa.Buffer:
        sink = pa.BufferOutputStream()
        writer = pa.ipc.new_stream(sink, self.schema)
        for first in range(0, batch.num_rows, PIECE):
            columns = list(batch.slice(first, PIECE).columns)
            for at in self._values:
                encoded = parts(columns[at].dictionary_encode())
                columns[at] = _dictionary_array(encoded.indices.cast(CODE), encoded.dictionary)
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        sink.write(self.start[self._before :])
        length = sink.tell() - self._before
        return sink.getvalue().slice(self._before, length)

    def _start(self) -> bytes:
        columns = [nulls(0, field.type) for field in self.schema]
        for at, values in self._values.items():
            columns[at] = _dictionary_array(nulls(0, CODE), values)
        empty = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        sink = pa.BufferOutputStream()
        pa.ipc.new_stream(sink, self.schema).write_batch(empty)
        length = sink.tell() - empty.serialize().size
        return sink.getvalue().slice(0, length).to_pybytes()


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionaries."""
    if not any(map(pa.types.is_dictionary, batch.schema.types)):
        return batch
    fields = list(batch.schema)
    columns = list(batch.columns)
    for at, field in enumerate(fields):
        if pa.types.is_dictionary(field.type):
            columns[at] = convert(columns[at], field.type.value_type)
            fields[at] = field.with_type(field.type.value_type)
    return pa.RecordBatch.from_arrays(columns, schema=schema_of(fields, batch.schema.metadata))


def with_own_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, its dictionaries copied."""
    if not any(map(pa.types.is_dictionary, batch.schema.types)):
        return batch
    columns = list(batch.columns)
    for at, column in enumerate(columns):
        if pa.types.is_dictionary(column.type):
            of = parts(column)
            columns[at] = _dictionary_array(of.indices, parts(pa).concat_arrays([of.dictionary, of.dictionary[:0]]))
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def text_bytes(batch: pa.RecordBatch) -> int:
    """About what the batch takes without dictionaries."""
    size = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            values = parts(column).dictionary
            size += batch.num_rows * values.nbytes // max(len(values), 1)
        else:
            size += column.nbytes
    return size


def in_order_of_rows(column: Array) -> Array:
    """A text column, coded or not, as a dictionary array whose values are in the order in which rows have them."""
    if not pa.types.is_dictionary(column.type):
        return column.dictionary_encode()
    of = parts(column)
    first: Array = call("unique", of.indices).drop_null()
    every = parts(pa).array(range(len(of.dictionary)), first.type)
    places = call("take", call("index_in", every, value_set=first), of.indices, boundscheck=False)
    return _dictionary_array(places, of.dictionary.take(first))


def _codes(column: Array, values: Array) -> Array | None:
    """What stands for the values of a column; None where they are not all among `values`."""
    of = parts(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    if len(of.dictionary) > MOST_KNOWN:
        return None
    known = call("index_in", of.dictionary, value_set=values).cast(CODE)
    codes: Array = call("take", known, of.indices, boundscheck=False)
    return codes if codes.null_count == column.null_count else None


def _dictionary_array(codes: Array, values: Array) -> Array:
    found: Array = parts(pa.DictionaryArray).from_arrays(codes, values, safe=False)
    return found
