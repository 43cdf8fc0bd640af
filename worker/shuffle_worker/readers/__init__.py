"""Input formats: pieces of files to record batches of the plan's schema.

source.py     what a format is           formats.py      which one a file is of, and opening it
files.py      the reader over all of them                 shape.py     a file's columns to the plan's
mapped.py     whose rows go through a function
parquet_file.py, feather.py, orc.py, function.py
text.py       CSV and JSON: cutting and streaming         records.py   where records end
              csv_text.py, json_text.py: each of them     codecs.py    files compressed as a whole
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Reader
from shuffle_worker.storage.storage import Storage

if TYPE_CHECKING:
    from shuffle_worker.readers.files import FileReader


def reader_for(
    plan: Plan, storage: Storage, index: int = 0, *, budget: int = 0, functions: int = 0, scratch: Path | None = None
) -> FileReader:
    """The reader for one of the job's inputs. budget: see `FileReader`. functions: memory for a process of a reader
    function; scratch: where its code is fetched to."""
    from shuffle_worker.readers.files import FileReader

    return FileReader(plan, storage, index, budget=budget, functions=functions, scratch=scratch)


def readers_for(
    plan: Plan, storages: Sequence[Storage], *, budget: int = 0, functions: int = 0, scratch: Path | None = None
) -> list[Reader]:
    """The readers for the plan's inputs, of which a union is one. storages: of the job's inputs. budget, functions,
    scratch: as in `reader_for`."""
    from shuffle_worker.readers.files import UnionReader

    files = [
        reader_for(plan, storage, index, budget=budget, functions=functions, scratch=scratch)
        for index, storage in enumerate(storages)
    ]
    readers = [_through(plan, one, index, functions, scratch) for index, one in enumerate(files)]
    return [UnionReader(plan, readers)] if plan.united else readers


def _through(plan: Plan, reader: Reader, index: int, functions: int, scratch: Path | None) -> Reader:
    """The reader, or one of what the input's function makes of its rows."""
    if not plan.job.inputs[index].map:
        return reader
    from shuffle_worker.readers.mapped import MappedReader

    return MappedReader(reader, plan, index, functions, scratch)
