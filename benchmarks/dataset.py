"""The data of the benchmark: made once, from a seed, the same on every machine.

    python -m benchmarks.dataset S --data DIR

Six columns of 72 bytes a row in Arrow memory: `timestamp` (uniform over a year), `name` (26 values), `id` (uniform over
a quarter of the rows, so four rows a key), `x`, `y` (uniform, incompressible), `payload` (three of a thousand words).
Nothing is sorted and no key is local to a file, so every row has to move. With `zipf` keys the ids follow a Zipf law of
exponent 1.2 instead: the most frequent one has a sixth of all rows.

The side table, for joins, has four fifths of the ids, once each, in no order: a tenth of the bytes.

The quotes, for as-of joins, are half as many rows: an id, a time since which it holds, a price.
"""

from __future__ import annotations

import argparse
import shutil
import string
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SEED = 42
ROWS_PER_FILE = 421_875
SIZES = {"S": 64 * ROWS_PER_FILE, "L": 8 * 64 * ROWS_PER_FILE}
FEWEST_FILES, MOST_FILES = 8, 256
KEYS = ("uniform", "zipf")
ZIPF = 1.2
SIDE_SHARE = 0.8
"""Of the ids, in the side table."""

COLUMNS = ("timestamp", "name", "id", "x", "y", "payload")

# fmt: off
NAMES = [
    "Alice", "Bob", "Charlie", "Dan", "Edith", "Frank", "George", "Hannah", "Ingrid", "Jerry", "Kevin", "Laura",
    "Michael", "Norbert", "Oliver", "Patricia", "Quinn", "Ray", "Sarah", "Tim", "Ursula", "Victor", "Wendy", "Xavier",
    "Yvonne", "Zelda",
]
# fmt: on
FIRST_MICROSECOND = 1_700_000_000_000_000
MICROSECONDS_IN_A_YEAR = 365 * 86_400 * 1_000_000


@dataclass(frozen=True)
class Dataset:
    """A folder of input files, and beside it one of the side table's and one of the quotes'.

    rows         in all files
    arrow_bytes  in memory as Arrow: the first file's, scaled by rows
    disk_bytes   of the files
    """

    name: str
    folder: Path
    side: Path
    quotes: Path
    rows: int
    files: int
    arrow_bytes: int
    disk_bytes: int


def rows_of(size: str) -> int:
    """Rows for a size: S, L or a number."""
    if size in SIZES:
        return SIZES[size]
    try:
        rows = int(size.replace("_", ""))
    except ValueError:
        raise ValueError(f"size {size!r}: expected S, L or a number of rows") from None
    if rows < FEWEST_FILES:
        raise ValueError(f"size {rows}: expected at least {FEWEST_FILES} rows, one for each file")
    return rows


def name_of(rows: int, keys: str = "uniform") -> str:
    """The folder's name for that many rows."""
    name = next((name for name, known in SIZES.items() if known == rows), f"rows-{rows}")
    return name if keys == "uniform" else f"{name}-{keys}"


def ensure(root: Path, rows: int, processes: int, keys: str = "uniform") -> Dataset:
    """The data of that many rows under `root`; made if it is not there or not whole."""
    folder = root / name_of(rows, keys)
    side = root / f"{name_of(rows)}-side"
    if _rows_in(folder) != rows:
        generate(folder, rows, processes, keys)
    if not side.is_dir():
        generate_side(side, rows)
    quotes = root / f"{name_of(rows, keys)}-quotes"
    if not quotes.is_dir():
        generate_quotes(quotes, rows, keys)
    paths = sorted(folder.glob("*.parquet"))
    sample = pq.read_table(paths[0])
    return Dataset(
        name=folder.name,
        folder=folder,
        side=side,
        quotes=quotes,
        rows=rows,
        files=len(paths),
        arrow_bytes=sample.nbytes * rows // sample.num_rows,
        disk_bytes=sum(path.stat().st_size for path in paths),
    )


def generate(folder: Path, rows: int, processes: int, keys: str = "uniform") -> None:
    """Write the files into a folder beside, then rename it: a folder that exists is whole."""
    files = min(MOST_FILES, max(FEWEST_FILES, rows // ROWS_PER_FILE))
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        if old.is_symlink():
            raise FileExistsError(
                f"{old.name} is a link to data with another number of rows than {rows}; remove the link"
            )
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(_write, partial, rows, files, index, keys) for index in range(files)]
        for task in tasks:
            task.result()
    partial.rename(folder)


def generate_side(folder: Path, rows: int) -> None:
    """Write the side table of that many rows' ids, into a folder beside and renamed as above."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    ids = max(1, rows // 4)
    files = max(1, ids // ROWS_PER_FILE // 2)
    for index in range(files):
        made = side_table(rows, files, index)
        pq.write_table(made, partial / f"part-{index:04d}.parquet", compression="snappy")
    partial.rename(folder)


def generate_quotes(folder: Path, rows: int, keys: str = "uniform") -> None:
    """Write the quotes, into a folder beside and renamed as above."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    files = max(1, rows // 2 // ROWS_PER_FILE)
    for index in range(files):
        made = quotes_table(rows, files, index, keys)
        pq.write_table(made, partial / f"part-{index:04d}.parquet", compression="snappy")
    partial.rename(folder)


def quotes_table(rows: int, files: int, index: int, keys: str = "uniform") -> pa.Table:
    """The rows of file `index` of the quotes' `files`: `id`, as spread as the table's; `since`, over the same year;
    `price`."""
    count = rows // 2 * (index + 1) // files - rows // 2 * index // files
    random = np.random.default_rng([SEED + 2, rows, index])
    ids = max(1, rows // 4)
    drawn = random.integers(0, ids, count) if keys == "uniform" else random.zipf(ZIPF, count) % ids
    since = FIRST_MICROSECOND + random.integers(0, MICROSECONDS_IN_A_YEAR, count)
    return pa.table(
        {
            "id": pa.array(drawn),
            "since": pa.array(since, pa.timestamp("us")),
            "price": pa.array(random.random(count)),
        }
    )


def side_table(rows: int, files: int, index: int) -> pa.Table:
    """The rows of file `index` of the side table's `files`: `id`, `a`, `b` (uniform), `tag` (of a thousand words)."""
    ids = max(1, rows // 4)
    random = np.random.default_rng([SEED + 1, rows, index])
    chosen = np.arange(index, ids, files)  # every id belongs to one file
    chosen = chosen[random.random(len(chosen)) < SIDE_SHARE]
    random.shuffle(chosen)
    words = pa.array(_words())
    return pa.table(
        {
            "id": pa.array(chosen),
            "a": pa.array(random.random(len(chosen))),
            "b": pa.array(random.random(len(chosen))),
            "tag": words.take(_codes(random, len(words), len(chosen))),
        }
    )


def table(rows: int, files: int, index: int, keys: str = "uniform") -> pa.Table:
    """The rows of file `index` of `files`; a function of its arguments alone."""
    count = rows * (index + 1) // files - rows * index // files
    random = np.random.default_rng([SEED, rows, index])
    words = pa.array(_words())
    payload = [words.take(_codes(random, len(words), count)) for _ in range(3)]
    names = pa.DictionaryArray.from_arrays(_codes(random, len(NAMES), count), pa.array(NAMES))
    timestamps = FIRST_MICROSECOND + random.integers(0, MICROSECONDS_IN_A_YEAR, count)
    ids = max(1, rows // 4)
    drawn = random.integers(0, ids, count) if keys == "uniform" else random.zipf(ZIPF, count) % ids
    return pa.table(
        {
            "timestamp": pa.array(timestamps, pa.timestamp("us")),
            "name": names.cast(pa.string()),
            "id": pa.array(drawn),
            "x": pa.array(random.random(count) * 2 - 1),
            "y": pa.array(random.random(count) * 2 - 1),
            "payload": pc.binary_join_element_wise(*payload, " "),  # type: ignore[call-overload]
        }
    )


def _codes(random: np.random.Generator, values: int, count: int) -> pa.Int32Array:
    return pa.array(random.integers(0, values, count, dtype=np.int32), pa.int32())


def _words() -> list[str]:
    random = np.random.default_rng(7)
    letters = np.array(list(string.ascii_lowercase))
    return ["".join(letters[random.integers(0, 26, length)]) for length in random.integers(5, 12, 1000)]


def _write(folder: Path, rows: int, files: int, index: int, keys: str) -> None:
    pq.write_table(table(rows, files, index, keys), folder / f"part-{index:04d}.parquet", compression="snappy")


def _rows_in(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")) if folder.is_dir() else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dataset", description="Make the benchmark's data.")
    parser.add_argument("size", help="S (27 M rows), L (8 times that) or a number of rows")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="folder to keep it in")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keys", choices=KEYS, default=KEYS[0])
    arguments = parser.parse_args()
    print(ensure(arguments.data, rows_of(arguments.size), arguments.processes, arguments.keys))
