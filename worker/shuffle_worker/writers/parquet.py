"""Parquet files, written straight into a sink.

Encoding and compressing is the largest single cost of a job, so: dictionaries only for the columns that the plan found
worth one (to try all of them costs 1.45 times as much), and the fastest level of each codec. Statistics are kept, they
are what lets readers skip. Bytes are handed to the sink as the encoder makes them, a page at a time.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_worker.columns.arrow import parts
from shuffle_worker.columns.coded import as_dictionaries
from shuffle_worker.columns.kinds import is_extension
from shuffle_worker.storage import Sink
from shuffle_worker.writers.sinkfile import EncodedFile
from shuffle_worker.writers.writer import WriterOptions

CODECS: dict[str, tuple[str, int | None]] = {
    "None": ("none", None),
    "Snappy": ("snappy", None),
    "Lz4": ("lz4", None),
    "Zstd": ("zstd", 1),
    "Gzip": ("gzip", 6),
    "Brotli": ("brotli", 1),
}
"""API name -> Parquet's name and the level used."""


class ParquetFile(EncodedFile[pq.ParquetWriter]):
    """A `FileWriter`."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        super().__init__(sink)
        codec, level = CODECS[options.compression or "None"]
        self._schema = as_dictionaries(schema, options.coded)
        self._writer = pq.ParquetWriter(
            self._handle,
            self._schema,
            compression=codec,  # type: ignore[arg-type]
            compression_level=level,
            use_dictionary=_leaves(schema, options.dictionary) or False,  # type: ignore[arg-type]
            write_statistics=True,
            store_schema=not options.coded,
        )
        if options.coded:  # what the file says of itself as if columns were text: what Arrow would write by itself
            told: dict[Any, Any] = dict(schema.metadata or {})
            told[b"ARROW:schema"] = base64.b64encode(schema.serialize().to_pybytes())
            self._writer.add_key_value_metadata(told)

    def write(self, group: pa.RecordBatch) -> None:
        table = pa.Table.from_batches([group], self._schema)
        self._writer.write_table(table, row_group_size=max(group.num_rows, 1))


def _leaves(schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    """Parquet's names of the leaf columns below some columns (`tags.list.element`), as `use_dictionary` wants them."""
    chosen = set(columns)
    found: list[str] = []
    for field in schema:
        if field.name in chosen:
            found += _below(field.name, field.type)
    return found


def _below(path: str, kind: pa.DataType) -> list[str]:
    t = pa.types
    if is_extension(kind):
        return _below(path, parts(kind).storage_type)
    if t.is_struct(kind):
        return [leaf for child in kind for leaf in _below(f"{path}.{child.name}", child.type)]
    if t.is_map(kind):
        return _below(f"{path}.key_value.key", kind.key_type) + _below(f"{path}.key_value.value", kind.item_type)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _below(f"{path}.list.element", kind.value_type)
    return [path]
