"""Checks an output with another engine, in bounded memory: nothing that an engine says of its own work counts.

    rows        as many as went in
    checksum    for each column, and for whole rows, the sum of a hash of each value: the same in any order, and
                different when a value, or the row that it stands in, is
    property    repartition: no key is in two partitions. sort: timestamps ascend inside files, and from file to file
                in the order of their names. random: a file has rows of all input files, and neighbours are of
                different ones, as chance would have it. The others: see verify_results.py

A partition is a file, or a folder named `key=value` for engines that write such.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import verify_results
from benchmarks.dataset import Dataset
from benchmarks.sql import quoted, source_of

MEMORY = "2GB"
MIXED_ROWS = 200_000
"""Rows of a file that are looked at to see whether it is mixed."""

SIGMAS = 6.0
"""How far from the mean chance may go: once in 500 million times."""

BATCH_ROWS = 1 << 20
"""Rows of one column held at a time when order is checked: 8 MiB."""

VALUES = {
    "timestamp": "epoch_us(timestamp::TIMESTAMP)",
    "name": "name::VARCHAR",
    "id": "id::BIGINT",
    "x": "x::DOUBLE",
    "y": "y::DOUBLE",
    "payload": "payload::VARCHAR",
}
"""Each column in one form, for engines are free to write a string or a timestamp as another type of the same value."""


@dataclass(frozen=True)
class Reference:
    """What any right output of a dataset must have.

    checksums  column (or "row") -> sum of hashes, as text: they are wider than 64 bits
    keys       distinct values of `id`
    """

    rows: int
    checksums: dict[str, str]
    keys: int


@dataclass(frozen=True)
class Verdict:
    """`problems` is empty when the output is right."""

    files: int
    size: int
    problems: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not self.problems


class Verifier:
    """Verifies outputs made from one dataset.

    scratch is a folder for what the checks themselves spill."""

    def __init__(self, made: Dataset, reference: Reference, scratch: Path, cores: int) -> None:
        self._made = made
        self._reference = reference
        self._connection = _connect(scratch, cores)

    def verify(self, workload: str, folder: Path, exactly: int | None = None) -> Verdict:
        """Check the output in `folder`; `exactly` is the number of files it must have, where that matters."""
        files = output_files(folder)
        size = sum(file.stat().st_size for file in files)
        if not files:
            return Verdict(0, 0, ["no output files"])
        problems = [] if exactly in (None, len(files)) else [f"{len(files)} files instead of {exactly}"]
        try:
            if workload in verify_results.WORKLOADS:
                problems += self._results(workload, files)
            else:
                problems += self._contents(files)
                problems += self._property(workload, files, folder)
        except (duckdb.Error, pa.ArrowException, KeyError) as error:
            problems.append(f"cannot be read: {str(error).splitlines()[0]}")
        return Verdict(len(files), size, problems)

    def _contents(self, files: list[Path]) -> list[str]:
        rows, checksums = _checksums(self._connection, files)
        if rows != self._reference.rows:
            return [f"{rows} rows instead of {self._reference.rows}"]
        wrong = [name for name, value in self._reference.checksums.items() if checksums[name] != value]
        if not wrong:
            return []
        if wrong == ["row"]:
            return ["values have been moved between rows"]
        return [f"wrong values in {', '.join(name for name in wrong if name != 'row')}"]

    def _results(self, workload: str, files: list[Path]) -> list[str]:
        made = self._made
        cache = made.folder.with_name(f"{made.name}.results.json")
        side = made.quotes if workload == "asOf" else made.side
        wanted = verify_results.expected(self._connection, workload, made.folder, side, cache)
        return verify_results.problems(self._connection, workload, files, wanted)

    def _property(self, workload: str, files: list[Path], folder: Path) -> list[str]:
        if workload == "repartition":
            return self._keys(files)
        return self._mixed(files[0]) if workload == "random" else self._order(files, folder)

    def _mixed(self, file: Path) -> list[str]:
        """Look at the first rows of a file: how many are of each input file, and how often neighbours are of one."""
        inputs = sorted(self._made.folder.glob("*.parquet"))
        query = (
            "SELECT i.filename FROM read_parquet(?, filename = true) AS i JOIN "
            f"(SELECT x::DOUBLE AS x, file_row_number AS at FROM read_parquet(?, file_row_number = true) "
            f"WHERE file_row_number < {MIXED_ROWS}) AS o ON i.x = o.x ORDER BY o.at"
        )
        found = self._connection.execute(query, [[str(one) for one in inputs], str(file)]).fetchnumpy()["filename"]
        numbers = np.unique(np.asarray(found, str), return_inverse=True)[1]
        count, even = len(numbers), 1 / len(inputs)  # input files have equally many rows, but for one
        spread = np.bincount(numbers, minlength=len(inputs)) / max(count, 1)
        if (np.abs(spread - even) > SIGMAS * np.sqrt(even / max(count, 1))).any():
            return ["a file has far more rows of some input files than of others"]
        alike = (numbers[1:] == numbers[:-1]).mean()
        if abs(alike - even) > SIGMAS * np.sqrt(even / max(count, 1)):
            return ["neighbours in the input are neighbours in the output"]
        return []

    def _keys(self, files: list[Path]) -> list[str]:
        """Count keys one partition at a time: the counts add up to the number of keys only if none is in two."""
        total = 0
        for partition in _partitions(files):
            query = f"SELECT count(DISTINCT id) FROM {source_of(partition)}"
            total += _first(self._connection.execute(query))
        return [] if total == self._reference.keys else [f"{total - self._reference.keys} keys are in two files"]

    def _order(self, files: list[Path], folder: Path) -> list[str]:
        last: int | None = None
        for file in files:
            name = file.relative_to(folder)
            first_of_file = True
            for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=["timestamp"], use_threads=False):
                values = _microseconds(batch.column(0))
                if values is None:
                    return [f"{name} has null timestamps"]
                if len(values) == 0:
                    continue
                if last is not None and values[0] < last:
                    return [f"{name} begins before its predecessor ends" if first_of_file else f"{name} is not sorted"]
                if (values[1:] < values[:-1]).any():
                    return [f"{name} is not sorted"]
                last, first_of_file = int(values[-1]), False
        return []


def reference_of(folder: Path, cache: Path, scratch: Path, cores: int) -> Reference:
    """The reference of a dataset, kept in `cache` for as long as the files and the hash function are the same."""
    files = output_files(folder)
    key = f"duckdb {duckdb.__version__}; " + " ".join(f"{file.name}:{file.stat().st_size}" for file in files)
    if cache.exists():
        kept = json.loads(cache.read_text())
        if kept["key"] == key:
            return Reference(**kept["reference"])
    connection = _connect(scratch, cores)
    rows, checksums = _checksums(connection, files)
    keys = _first(connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT id FROM {source_of(files)})"))
    reference = Reference(rows, checksums, keys)
    cache.write_text(json.dumps({"key": key, "reference": asdict(reference)}))
    return reference


def output_files(folder: Path) -> list[Path]:
    """The data files under a folder, in the order of their names: as they are where all are equally long (numbers with
    leading zeros, decimal or hexadecimal), else with numbers compared as numbers (part.9 before part.10)."""
    names = [
        str(file.relative_to(folder)) for file in folder.rglob("*.parquet") if not file.name.startswith(("_", "."))
    ]
    names.sort(key=str if len({len(name) for name in names}) == 1 else natural)
    return [folder / name for name in names]


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key that compares runs of digits as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _partitions(files: list[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for file in files:
        groups.setdefault(file.parent if "=" in file.parent.name else file, []).append(file)
    return list(groups.values())


def _connect(scratch: Path, cores: int) -> duckdb.DuckDBPyConnection:
    scratch.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(f"SET threads = {cores}; SET memory_limit = '{MEMORY}'; SET enable_progress_bar = false")
    connection.execute(f"SET temp_directory = {quoted(str(scratch))}")
    return connection


def _checksums(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> tuple[int, dict[str, str]]:
    sums = [f"sum(hash({value}))" for value in VALUES.values()] + [f"sum(hash({', '.join(VALUES.values())}))"]
    row = connection.execute(f"SELECT count(*), {', '.join(sums)} FROM {source_of(files)}").fetchone()
    assert row is not None
    return row[0], {name: str(value) for name, value in zip((*VALUES, "row"), row[1:], strict=True)}


def _first(result: duckdb.DuckDBPyConnection) -> int:
    row = result.fetchone()
    assert row is not None
    return int(row[0])


def _microseconds(column: pa.Array[Any]) -> npt.NDArray[np.int64] | None:
    """The values as integers, without a copy where they are in microseconds; None if one is missing."""
    if column.null_count:
        return None
    # An engine may have written another unit of the same instant.
    values: pa.Array[Any] = pc.cast(column, pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    data = values.buffers()[1]
    whole = np.frombuffer(memoryview(data), np.int64) if data is not None else np.empty(0, np.int64)
    return whole[values.offset : values.offset + len(values)]
