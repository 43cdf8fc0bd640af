"""Reads a few thousand rows to estimate what footers do not say: bytes of a row in memory, the share of rows that the
filter keeps, columns of few values.

Called by the planner. Reads the first rows of up to `GROUPS` row groups spread evenly over the input; so what it finds
depends on the data alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.coded import codable
from shuffle_worker.inputs.keyed import Keyed, seen_keys
from shuffle_worker.inputs.reading import FETCHED, FoundFile
from shuffle_worker.readers.formats import FUNCTION

ROWS = 16_384
MAPPED_ROWS = 4_096
"""The same where they go through a function, which may be slow."""

GROUPS = 3
FIRST_ROWS = 16
MOST_BYTES = 16 << 20
"""Of one row group's rows: how wide they are is judged by the first few, before more of them are read."""

FEW_VALUES = 0.2
"""A text column with fewer distinct values than this share of the rows seen is worth a dictionary."""

FEW_NUMBERS = 0.05


class Probe(NamedTuple):
    """What a look at some rows found."""

    row_bytes: float
    """Mean Arrow bytes of a row as written."""
    read_bytes: float
    """As read, with what only the filter needs."""
    selectivity: float
    """The share of rows that passed the filter."""
    few: list[str]
    """Columns of few distinct values."""
    keyed: Keyed | None = None
    """See `probe`."""
    kept_bytes: float = 0.0
    """Mean Arrow bytes of a row that passes the filter, before it goes through a function; 0 where there is none."""
    values: Mapping[str, Sequence[str]] = {}
    """Of text columns so few values that they can travel as codes (`columns/coded.py`), in order."""


UNSEEN = Probe(1.0, 1.0, 1.0, [])
"""Of rows that nobody has looked at yet."""


class RowGroupRef(NamedTuple):
    """A row group by its file's index and its own; `first`: the input position of its first row."""

    file: int
    group: int
    first: int


def probe(
    files: Sequence[FoundFile],
    groups: Sequence[RowGroupRef],
    output: pa.Schema,
    grouped_by: Sequence[str] = (),
) -> Probe:
    """output: the transport schema of what is written. grouped_by: columns whose combinations of values are to be
    counted."""
    chosen = spread(groups, GROUPS)
    rows = ROWS // max(len(chosen), 1)
    seen: list[pa.RecordBatch] = []
    kept = read = total = 0
    for one in chosen:
        look = files[one.file].look
        path = files[one.file].info.path
        for batch in first_batches(files[one.file], one.group, look.everything, rows):
            total += batch.num_rows
            read += batch.nbytes
            kept += batch.num_rows if look.where is None else look.where.mask(batch, path).true_count
            if look.mapping is None:
                seen.append(batch.select(output.names))
            else:
                seen.append(look.kept(batch.slice(0, MAPPED_ROWS // len(chosen)), path, output.names))
    if not total:
        return Probe(guessed_bytes(output), guessed_bytes(files[0].look.everything), 1.0, [])
    written = pa.Table.from_batches(seen, schema=output)
    share, each = max(kept / total, 0.01), max(read / total, 1.0)
    if not written.num_rows:  # a function returned none
        return Probe(guessed_bytes(output), each, share, [])
    few = [field.name for field in output if few_values(written.column(field.name), field.type)]
    keyed = seen_keys([pa.concat_arrays(written.column(name).chunks) for name in grouped_by]) if grouped_by else None
    values = {name: some for name in few if (some := codable(written.column(name))) is not None}
    return Probe(max(written.nbytes / written.num_rows, 1.0), each, share, few, keyed, values=values)


def probe_mapped(look: Probe, rows: pa.Table, schema: pa.Schema, grouped_by: Sequence[str]) -> Probe:
    """The same for rows that go through a function. look: at the rows before. rows: what it made of a sample. schema:
    of the columns that are sent."""
    sent = rows.select(schema.names)
    if not sent.num_rows:
        return look._replace(row_bytes=guessed_bytes(schema), few=[], keyed=None, kept_bytes=look.row_bytes, values={})
    few = [field.name for field in schema if few_values(sent.column(field.name), field.type)]
    keyed = seen_keys([rows.column(name).combine_chunks() for name in grouped_by]) if grouped_by else None
    each = max(sent.nbytes / sent.num_rows, 1.0)
    return look._replace(row_bytes=each, few=few, keyed=keyed, kept_bytes=look.row_bytes, values={})


def read_through(files: Sequence[FoundFile], groups: Sequence[RowGroupRef]) -> None:
    """Read a small input to its end, as the job will, and keep nothing, so that damage in it fails the plan. Damage in
    a large one is found by the job itself.

    Memory: one batch."""
    every = [files[one.file].row_groups[one.group] for one in groups]
    if (
        len({one.file for one in groups}) > GROUPS
        or sum(one.rows for one in every) > ROWS
        or sum(one.bytes for one in every) > FETCHED
    ):
        return
    for number, mine in itertools.groupby(groups, key=lambda one: one.file):
        file = files[number]
        if file.opening is not None and file.opening.format == FUNCTION:
            continue  # it is asked once
        look = file.look
        with file.open(look.storage, look.target) as source:
            shaper = file.shaper(source, look.target)
            for batch in source.batches([one.group for one in mine], shaper.wanted, ROWS):
                shaper.shape(batch)


def spread(groups: Sequence[RowGroupRef], count: int) -> list[RowGroupRef]:
    """Up to `count` of them at even distances, always with the first one."""
    if len(groups) <= count:
        return list(groups)
    return [groups[at * len(groups) // count] for at in range(count)]


def first_batches(
    file: FoundFile, group: int, target: pa.Schema, rows: int, *, some: bool = False
) -> Iterator[pa.RecordBatch]:
    """The first rows of a row group, in the shape of `target`: one batch at most, fewer rows where they are wide.
    some: these are not all of the columns that the job reads."""
    with file.open(file.look.storage, target, some=some) as source:
        shaper = file.shaper(source, target)
        stored = pa.schema([source.schema.field(name) for name in shaper.wanted])
        if max(_width(stored), _width(target)) * rows <= MOST_BYTES:  # decoding a page twice costs more than the rest
            yield from map(shaper.shape, itertools.islice(source.batches([group], shaper.wanted, rows), 1))
            return
        first = next(source.batches([group], shaper.wanted, FIRST_ROWS), None)
        if first is None:
            return
        shaped = shaper.shape(first)
        fitting = int(MOST_BYTES * first.num_rows / max(first.nbytes, shaped.nbytes, 1))
        if first.num_rows < FIRST_ROWS or fitting <= FIRST_ROWS:
            yield shaped
            return
        for batch in source.batches([group], shaper.wanted, min(rows, fitting)):
            yield shaper.shape(batch)
            return


def _width(schema: pa.Schema) -> float:
    """Bytes of a row whose columns all have a fixed width; else there is no saying."""
    try:
        return float(sum(field.type.bit_width for field in schema)) / 8
    except ValueError:
        return math.inf


def first_kept(file: FoundFile, group: int, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Some columns of what comes to the operation of the first rows of a row group; no column is read in vain."""
    look = file.look
    read = look.needed(names)
    some = len(read) < len(look.target)
    for batch in first_batches(file, group, read, rows, some=some):
        yield look.kept(batch, file.info.path, names)


def sample_rows(files: Sequence[FoundFile], groups: Sequence[RowGroupRef], names: Sequence[str]) -> pa.RecordBatch:
    """Some columns of what comes to the operation of the rows of such a look, in input order."""
    look = files[0].look
    chosen = spread(groups, GROUPS)
    seen = [pa.RecordBatch.from_pylist([], schema=pa.schema([look.sent.field(name) for name in names]))]
    for one in chosen:
        rows = ROWS if files[one.file].look.mapping is None else MAPPED_ROWS
        seen += first_kept(files[one.file], one.group, names, rows // len(chosen))
    return concat(seen)


def few_values(column: pa.ChunkedArray[Any], kind: pa.DataType) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    if types.is_nested(kind) or types.is_boolean(kind) or types.is_null(kind) or not len(column):
        return False
    try:
        distinct = pc.count_distinct(column).as_py()
    except pa.ArrowNotImplementedError:
        return False
    return bool(distinct <= max(len(column) * (FEW_VALUES if text else FEW_NUMBERS), 1))


def guessed_bytes(schema: pa.Schema) -> float:
    """Bytes of a row that was never seen."""
    return max(sum(32.0 if pa.types.is_nested(field.type) else 16.0 for field in schema), 1.0)
