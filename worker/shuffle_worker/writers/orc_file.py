"""ORC files. The encoder gathers row groups to stripes of about `STRIPE` bytes, so that readers need little memory."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.orc as po

from shuffle_worker.columns.arrays import concat
from shuffle_worker.storage import Sink
from shuffle_worker.writers.sinkfile import EncodedFile
from shuffle_worker.writers.writer import WriterOptions

CODECS = {"None": "uncompressed", "Snappy": "snappy", "Lz4": "lz4", "Zstd": "zstd", "Gzip": "zlib"}

STRIPE = 8 << 20


class OrcFile(EncodedFile[po.ORCWriter]):
    """A `FileWriter`. Memory: one stripe, encoded, beside the row group."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        super().__init__(sink)
        self._schema = schema
        codec = CODECS[options.compression or "None"]
        self._writer = po.ORCWriter(self._handle, compression=codec, stripe_size=STRIPE)  # type: ignore[arg-type]
        self._wrote = False

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write(pa.Table.from_batches([_alone(group)]))
        self._wrote = True

    def close(self) -> None:
        if not self._wrote:  # the file takes its schema from the first rows, be they none
            self._writer.write(self._schema.empty_table())
        super().close()


def _alone(group: pa.RecordBatch) -> pa.RecordBatch:
    """The rows as if nothing else had been in memory beside them: a slice's offsets and the bitmaps of columns without
    nulls would show in the file."""
    copied = concat([group, group.slice(0, 0)])
    return pa.ipc.read_record_batch(copied.serialize(), group.schema)
