"""Tables for the tests of whole jobs, from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def events(rows: int, first: int = 0, width: int = 200) -> pa.Table:
    """Rows that are told apart by `row`, their place in the input. Keys of few and of many values, with nulls, NaN and
    both zeros; `text` is as wide as asked for, says which row it belongs to, and takes little room in a file."""
    r = np.random.default_rng(first)
    row = pa.array(np.arange(first, first + rows, dtype=np.int64))
    score = r.integers(-20, 20, rows).astype(np.float64) / 4
    score[r.random(rows) < 0.05] = np.nan
    score[r.random(rows) < 0.05] = -0.0
    names = pa.array([f"name-{n}" for n in range(300)])
    return pa.table(
        {
            "row": row,
            "user": pa.array(r.integers(0, 5_000, rows), mask=r.random(rows) < 0.01),
            "score": pa.array(score, mask=r.random(rows) < 0.05),
            "name": names.take(pa.array(r.integers(0, 300, rows), mask=r.random(rows) < 0.02)),
            "at": pa.array(r.integers(0, 10**15, rows), pa.timestamp("us", "UTC")),
            "text": pc.utf8_lpad(pc.cast(row, pa.string()), width, "."),
        }
    )


def write_events(folder: Path, files: int, rows: int, width: int = 200) -> None:
    """Files of `rows` rows each, in four row groups."""
    folder.mkdir(parents=True)
    for number in range(files):
        table = events(rows, number * rows, width)
        pq.write_table(table, folder / f"{number:03}.parquet", row_group_size=-(-rows // 4), compression="zstd")


WIDE_ROWS = 40_000


def write_wide(folder: Path) -> None:
    """Few rows and many bytes: about 35 MiB in memory, cut into eight or more splits, and quick to move."""
    write_events(folder, files=8, rows=WIDE_ROWS // 8, width=850)
