"""Feather (version 2, the Arrow IPC file format): each row group is a record batch.

The file format allows a dictionary to grow and not to change, so the dictionary columns of a file share one dictionary,
to which every row group adds the values that it is the first to have.

Memory: the dictionaries of the file, small ones (`storable.py` sees to that), a copy of the row group and its encoding.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.arrow import Array, call, parts
from shuffle_worker.storage import Sink
from shuffle_worker.writers.sinkfile import EncodedFile
from shuffle_worker.writers.writer import WriterOptions

CODECS = {"None": None, "Lz4": ("lz4", None), "Zstd": ("zstd", 1)}


class FeatherFile(EncodedFile[pa.RecordBatchFileWriter]):
    """A `FileWriter`."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        super().__init__(sink)
        codec = CODECS[options.compression or "None"]
        self._schema = schema
        self._dictionaries: dict[int, Array] = {}
        self._writer = pa.ipc.new_file(
            self._handle,
            schema,
            options=pa.ipc.IpcWriteOptions(
                compression=None if codec is None else _codec(*codec),
                use_threads=False,
                emit_dictionary_deltas=True,
            ),
        )

    def write(self, group: pa.RecordBatch) -> None:
        if not group.num_rows:  # no batch: a dictionary that begins empty could not grow
            return
        # a slice would be written with the buffers of what it was cut from
        columns = [
            self._encoded(at, column) if pa.types.is_dictionary(column.type) else column
            for at, column in enumerate(concat([group, group.slice(0, 0)]).columns)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def _encoded(self, at: int, column: Array) -> Array:
        """The column with the file's dictionary, which grows by the values that are new."""
        of = parts(column)
        known = self._dictionaries.get(at)
        if known is None:
            merged = of.dictionary
        else:
            new = of.dictionary.filter(call("invert", call("is_in", of.dictionary, value_set=known)))
            merged = pa.concat_arrays([known, new]) if len(new) else known
        self._dictionaries[at] = merged
        places = call("index_in", of.dictionary, value_set=merged)
        indices = places.take(of.indices).cast(column.type.index_type)
        found: Array = parts(pa.DictionaryArray).from_arrays(indices, merged, ordered=column.type.ordered)
        return found


def _codec(name: str, level: int | None) -> pa.Codec:
    return pa.Codec(name, compression_level=level)  # type: ignore[arg-type]
