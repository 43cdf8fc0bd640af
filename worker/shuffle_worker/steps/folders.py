"""The rows of one partition to one file for each hive folder: sorted by the folders' columns first, so that one file is
open at a time however many folders there are.

The sort is stable, so that inside a file rows have the order that the operation gave them. Called by `PartitionFiles`
for every operation; it has half of a lease's working memory for it, and scratch beyond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.uuids import uuid_texts
from shuffle_worker.inputs.sample import equal_to_previous
from shuffle_worker.output.folders import MOST_FOLDERS, folder_of
from shuffle_worker.steps.sorting import Sorter


def in_folders(
    batches: Iterable[pa.RecordBatch | None],
    names: Sequence[str],
    sorter: Sorter,
    memory: int,
    uuids: Sequence[str] = (),
) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """The folders of some rows, each with its rows: consume them before the next folder. sorter: by these columns.
    uuids: those of them that are UUIDs, whose text names the folder."""
    pieces = ([batch] for batch in batches if batch is not None)
    rows = _runs(sorter.sorted(pieces, memory), names, uuids)
    waiting = next(rows, None)
    folders = 0
    while waiting is not None:
        folder, first = waiting
        waiting = None
        folders += 1
        if folders > MOST_FOLDERS:
            raise DataError(
                f"output.partitionBy: one partition has rows for more than {MOST_FOLDERS:,} folders ({folder}, ...); "
                "choose columns of fewer values, or repartition by them"
            )

        def same(folder: str = folder, first: pa.RecordBatch = first) -> Iterator[pa.RecordBatch]:
            nonlocal waiting
            yield first
            for found, run in rows:
                if found != folder:
                    waiting = (found, run)
                    return
                yield run

        yield folder, same()


def _runs(
    batches: Iterator[pa.RecordBatch], names: Sequence[str], uuids: Sequence[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Sorted batches cut where the columns change."""
    for batch in batches:
        if not batch.num_rows:
            continue
        columns = [batch.column(name) for name in names]
        keys = pa.Table.from_arrays(columns, names=[str(at) for at in range(len(columns))])
        columns = [uuid_texts(column) if n in uuids else column for n, column in zip(names, columns, strict=True)]
        starts = np.flatnonzero(~equal_to_previous(keys)).tolist()
        for begin, end in pairwise([*starts, batch.num_rows]):
            yield folder_of(names, columns, begin), batch.slice(begin, end - begin)
