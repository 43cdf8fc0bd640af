"""Which writer an output format has. A format's writer is imported when a job asks for it.

Files' names: `shuffle_protocol/formats.py`; the types that a format can hold: `output/storable.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.formats import WRITABLE
from shuffle_worker.storage import Sink
from shuffle_worker.writers.writer import FileWriter, WriterOptions

Open = Callable[[Sink, pa.Schema, WriterOptions], FileWriter]


def output_format(name: str) -> Open:
    """How to open a file of the format that a job names. Raises InvalidSpec for one that cannot be written."""
    if name == "Parquet":
        from shuffle_worker.writers.parquet import ParquetFile

        return ParquetFile
    if name == "CSV":
        from shuffle_worker.writers.csv_file import csv_file

        return csv_file
    if name == "JSON":
        from shuffle_worker.writers.json_file import JsonFile

        return JsonFile
    if name == "Feather":
        from shuffle_worker.writers.feather_file import FeatherFile

        return FeatherFile
    if name == "ORC":
        from shuffle_worker.writers.orc_file import OrcFile

        return OrcFile
    raise InvalidSpec(f"output.format: {name} cannot be written; formats are {', '.join(WRITABLE)}")
