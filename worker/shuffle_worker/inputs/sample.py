"""Boundaries of a sort or a repartition by range, from a sample of the keys.

Every stretch of `stride` input rows gives one row, at a place in it that is drawn from its number alone: spread evenly,
out of step with any pattern in the data, and the same in every run. Only the key columns (and the filter's) are read,
of all row groups or, where these are more than `MOST_STORED` bytes, of evenly spread ones; of a row group whose first
rows span its whole range of keys, so that it is in no order, only these. Row groups without a row that passes the
filter are left out beforehand, which changes nothing: the sample is of the rows that pass.

A sort's boundaries carry the position of their row: equal keys may straddle files, so no key is too frequent to be cut.
A repartition's are distinct keys: equal keys stay together. What the sample holds does not depend on the number of
buckets, and every file boundary is the same however finely its range is cut into buckets.

Memory: the sample is thinned whenever it exceeds four times the rows wanted, or `MOST_BYTES`; see `Thinning`.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import plain
from shuffle_worker.columns.arrow import I64, Array, Bools, bools, call, int64_array, nulls, scalar, true_rows
from shuffle_worker.expressions.typed.statistics import comparable
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import RowGroupRef
from shuffle_worker.inputs.reading import FETCHED, FoundFile, Mapping, RowGroup
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.plan.layout import Layout
from shuffle_worker.readers.shape import Shaper

LEAST_ROWS = 200_000
ROWS_PER_FILE = 200
MOST_ROWS = 4_000_000
MAPPED_ROWS = 32_768
"""The same where they go through a function, which may be slow."""

MOST_BYTES = 64 << 20
MOST_STORED = 256 << 20
LEAST_KEPT = 1000
"""Rows that are kept however large they are."""

PREFIX = 32_768
"""Rows of a row group that are read first, and alone where they represent all of it."""

SPANNED = 0.95
THREADS = 8
AHEAD = 16
"""Files sampled at once, and before the first of them is done with."""

POSITION = "position"


class Sample(NamedTuple):
    """Rows that were sampled."""

    rows: pa.Table
    """The key columns."""
    positions: I64
    """Where each row stands in the input."""


def boundaries(one: PlannedInput, keys: Sequence[SortKey], layout: Layout, *, separate: bool, working: int) -> bytes:
    """The boundaries between the layout's cells: cells - 1 rows of the key columns and `position`, an IPC stream.

    separate: equal keys may be separated (a sort). working: bytes of memory for one lease; they bound how much is read
    at once, not what is sampled."""
    schema = pa.schema([one.sent.field(key.column) for key in keys])
    if layout.cells == 1:
        return encoded(schema.empty_table(), np.zeros(0, np.int64), separate)
    found = take_sample(one, schema, rows_wanted(layout, one), working)
    if not found.rows.num_rows:  # no rows: any boundaries will do
        nothing = pa.table([nulls(layout.cells - 1, field.type) for field in schema], schema=_nullable(schema))
        return encoded(nothing, np.zeros(layout.cells - 1, np.int64), separate)
    order = sort_indices(found.rows, keys, found.positions)
    if separate:
        ranks = np.arange(1, layout.cells, dtype=np.int64) * len(order) // layout.cells
    else:
        ranks = distinct_cuts(equal_to_previous(taken(found.rows, order)), layout.cells)
    chosen = order[ranks]
    return encoded(taken(found.rows, chosen), found.positions[chosen], separate)


def rows_wanted(layout: Layout, one: PlannedInput) -> int:
    """Rows of a sample that boundaries are chosen from."""
    if one.called:
        return MAPPED_ROWS
    return min(max(LEAST_ROWS, ROWS_PER_FILE * layout.partitions), MOST_ROWS)


def take_sample(one: PlannedInput, keys: pa.Schema, wanted: int, working: int, alike: Sequence[str] = ()) -> Sample:
    """About `wanted` rows that pass the filter, between these and four times as many where the guess was wrong.

    alike: the columns that the first rows of a row group must have the whole range of, to stand for all of it; by
    default the first key."""
    files = one.files
    chosen = _affordable(files, one.row_groups)
    rows = sum(files[each.file].row_groups[each.group].rows for each in chosen)
    stride = max(int(rows * one.look.selectivity * one.growth / wanted), 1)

    def of_file(some: list[RowGroupRef]) -> Thinning:
        mine = Thinning(wanted // 4, MOST_BYTES // AHEAD)
        asked = Asked(keys, stride, alike or keys.names[:1])
        for part in _of_file(files[some[0].file], some, asked):
            mine.add(part)
        return mine

    by_file = [list(some) for _, some in itertools.groupby(chosen, key=lambda each: each.file)]
    kept = Thinning(wanted, MOST_BYTES)
    with ThreadPoolExecutor(threads_within(working), thread_name_prefix="sample") as pool:
        for at in range(0, len(by_file), AHEAD):  # a few files at a time: what is read ahead is bounded
            for found in pool.map(of_file, by_file[at : at + AHEAD]):
                kept.join(found)
    return kept.sample(keys)


def threads_within(working: int) -> int:
    """How many may read at once, so that what they hold fits in the memory of one lease."""
    return min(THREADS, max(1, working // (2 * FETCHED)))


def distinct_cuts(equal: Bools, cells: int) -> I64:
    """Where to cut sorted rows into `cells` so that the largest is as small as can be, never between equal rows.

    equal: whether each row equals the one before it. Returns cells - 1 ranks, rising; the last one is repeated where
    there are fewer distinct rows than cells. A key of more than a cell's share has a cell to itself."""
    count = len(equal)
    starts: list[int] = np.flatnonzero(~equal).tolist()  # the first row of every distinct key
    low, high = 0, count
    while low < high:  # the smallest size that no cell of several keys need exceed
        middle = (low + high) // 2
        if len(_filled(starts, count, middle, cells)) < cells:
            high = middle
        else:
            low = middle + 1
    cuts = _halved(starts, count, _filled(starts, count, low, cells), cells)
    last = cuts[-1] if cuts else 0
    return np.array(cuts + [last] * (cells - 1 - len(cuts)), np.int64)


def _filled(starts: list[int], count: int, size: int, cells: int) -> list[int]:
    """The cuts that fill one cell after the other up to `size`; no more than `cells` of them."""
    cuts: list[int] = []
    begin = at = 0
    while count - begin > size and at + 1 < len(starts) and len(cuts) < cells:
        at = max(bisect_right(starts, begin + size) - 1, at + 1)
        begin = starts[at]
        cuts.append(begin)
    return cuts


def _halved(starts: list[int], count: int, cuts: list[int], cells: int) -> list[int]:
    """Cells that are left over go to the largest ones that hold several keys."""
    edges = [0, *cuts, count]
    heap = [(left - right, left, right) for left, right in itertools.pairwise(edges)]
    heapify(heap)
    found = list(cuts)
    while len(found) < cells - 1 and heap:
        _, left, right = heappop(heap)
        first, last = bisect_right(starts, left), bisect_left(starts, right) - 1
        if first > last:
            continue  # one key
        middle = min(max(bisect_left(starts, (left + right) // 2), first), last)
        cut = starts[middle]
        found.append(cut)
        heappush(heap, (left - cut, left, cut))
        heappush(heap, (cut - right, cut, right))
    return sorted(found)


def equal_to_previous(rows: pa.Table) -> Bools:
    """Whether each row of a sorted table has the same key as the row before it, in the sense of the sort order: nulls
    are equal, NaNs are, 0.0 and -0.0 are."""
    equal = np.ones(rows.num_rows, np.bool_)
    equal[:1] = False
    false = scalar(False, pa.bool_())
    for column in rows.columns:
        whole: Array = column.combine_chunks()
        if pa.types.is_null(whole.type) or len(whole) < 2:
            continue
        whole = plain(whole)
        before, after = whole.slice(0, len(whole) - 1), whole.slice(1)
        same = call("fill_null", call("equal", before, after), false)
        same = call("or_", same, call("and_", call("is_null", before), call("is_null", after)))
        if pa.types.is_floating(whole.type):
            both = call("and_", call("is_nan", before), call("is_nan", after))
            same = call("or_", same, call("fill_null", both, false))
        equal[1:] &= bools(same)
    return equal


def picks(first: int, rows: int, stride: int) -> I64:
    """Which of the rows [first, first + rows) are in the sample: one of every `stride`."""
    if stride == 1:
        return np.arange(first, first + rows, dtype=np.int64)
    windows = np.arange(first // stride, (first + rows - 1) // stride + 1, dtype=np.uint64)
    mixed = (windows + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    places = (windows * np.uint64(stride) + mixed % np.uint64(stride)).astype(np.int64)
    return places[(places >= first) & (places < first + rows)]


class SamplePart(NamedTuple):
    """Some of the sample: one row of every `stride` input rows (or less, where it was thinned)."""

    rows: pa.RecordBatch
    positions: I64
    stride: int

    def thinned(self, level: int) -> SamplePart:
        """The rows of every 2**level-th stretch only."""
        kept = np.flatnonzero((self.positions // self.stride) % (1 << level) == 0)
        if len(kept) == len(self.positions):
            return self
        return SamplePart(self.rows.take(int64_array(kept)), self.positions[kept], self.stride)


class Thinning:
    """A sample that is being gathered. Whenever it grows beyond four times `wanted` rows, or `most_bytes`, half of all
    stretches are dropped, of what is there and what comes: the rest is evenly spread, no matter in which order rows
    came."""

    def __init__(self, wanted: int, most_bytes: int) -> None:
        self._wanted = max(wanted, 1)
        self._most_bytes = most_bytes
        self._parts: list[SamplePart] = []
        self._level = 0
        self._rows = self._bytes = 0

    def add(self, part: SamplePart) -> None:
        self._keep(part.thinned(self._level))
        while self._rows > 4 * self._wanted or (self._bytes > self._most_bytes and self._rows > LEAST_KEPT):
            self._to(self._level + 1)

    def join(self, other: Thinning) -> None:
        """Take over what another one gathered, thinned like the thinner of the two."""
        self._to(other._level)
        for part in other._parts:
            self.add(part)

    def sample(self, keys: pa.Schema) -> Sample:
        positions = [part.positions for part in self._parts]
        return Sample(
            pa.Table.from_batches([part.rows for part in self._parts], schema=keys).combine_chunks(),
            np.concatenate(positions) if positions else np.zeros(0, np.int64),
        )

    def _to(self, level: int) -> None:
        if level <= self._level:
            return
        self._level = level
        parts, self._parts = self._parts, []
        self._rows = self._bytes = 0
        for part in parts:
            self._keep(part.thinned(level))

    def _keep(self, part: SamplePart) -> None:
        if len(part.positions):
            self._parts.append(part)
            self._rows += len(part.positions)
            self._bytes += part.rows.nbytes


class Asked(NamedTuple):
    """What is sampled of each file."""

    keys: pa.Schema
    stride: int
    alike: Sequence[str]
    """See `take_sample`."""


def _of_file(file: FoundFile, groups: Sequence[RowGroupRef], asked: Asked) -> Iterator[SamplePart]:
    keys, stride, alike = asked
    look = file.look
    where = look.where
    read = look.needed(keys.names)
    with file.open(look.storage, read, some=True) as source:
        shaper = file.shaper(source, read)
        for one in groups:
            first, group = one.first, file.row_groups[one.group]
            for batch in source.batches([one.group], shaper.wanted, PREFIX):
                plain = where is None and look.mapping is None
                enough = first == one.first and plain and _speaks_for(shaper.shape(batch), group, alike)
                part = _picked(
                    batch, first, max(stride * batch.num_rows // group.rows, 1) if enough else stride, shaper
                )
                if where is not None:
                    kept = true_rows(where.mask(part.rows, file.info.path))
                    part = SamplePart(part.rows.take(int64_array(kept)), part.positions[kept], part.stride)
                if look.mapping is not None:
                    part = _mapped(part, look.mapping, file.info.path, one.first, look.share)
                if len(part.positions):
                    yield SamplePart(part.rows.select(keys.names), part.positions, part.stride)
                if enough:
                    break
                first += batch.num_rows


def _mapped(part: SamplePart, mapping: Mapping, path: str, first: int, share: float) -> SamplePart:
    """What a function returns for the rows, about where it will stand among all its results for a row group: these have
    the positions from `first` on. share: rows that come to the operation for each that is read."""
    given = len(part.positions)
    rows = mapping.of(part.rows.select(mapping.given_names), path)
    origin = np.arange(rows.num_rows, dtype=np.int64) * given // max(rows.num_rows, 1)
    places = first + ((part.positions[origin] - first) * share).astype(np.int64)
    return SamplePart(rows, places, part.stride)


def _picked(batch: pa.RecordBatch, first: int, stride: int, shaper: Shaper) -> SamplePart:
    places = picks(first, batch.num_rows, stride)
    return SamplePart(shaper.shape(batch if stride == 1 else batch.take(int64_array(places - first))), places, stride)


def _speaks_for(batch: pa.RecordBatch, group: RowGroup, names: Sequence[str]) -> bool:
    """Whether the first rows of a row group can stand for all of it: these columns span (nearly) the whole ranges that
    the statistics give. Where one is sorted or drifts they do not, and the rest is read too."""
    return batch.num_rows * 2 <= group.rows and all(_spans(batch, group, name) for name in names)


def _spans(batch: pa.RecordBatch, group: RowGroup, name: str) -> bool:
    known = group.ranges.get(name)
    if known is None or known.low is None or known.high is None:
        return False
    ends = call("min_max", batch.column(name))
    low, high = comparable(ends["min"]), comparable(ends["max"])
    span = [float(one) for one in (low, high, known.low, known.high) if isinstance(one, int | float)]
    return len(span) == 4 and span[1] - span[0] >= SPANNED * (span[3] - span[2]) > 0


def _affordable(files: Sequence[FoundFile], groups: Sequence[RowGroupRef]) -> list[RowGroupRef]:
    """All row groups, or evenly spread ones whose keys are about `MOST_STORED` bytes."""
    stored = sum(files[one.file].row_groups[one.group].key_bytes for one in groups)
    if stored <= MOST_STORED:
        return list(groups)
    count = max(int(len(groups) * MOST_STORED / stored), 1)
    return [groups[(2 * at + 1) * len(groups) // (2 * count)] for at in range(count)]


def encoded(rows: pa.Table, positions: I64, separate: bool) -> bytes:
    """Boundaries as the plan has them. separate: with their positions."""
    last = int64_array(positions) if separate else nulls(len(positions), pa.int64())
    columns = [column.combine_chunks() for column in rows.columns]
    schema = _nullable(rows.schema).append(pa.field(POSITION, pa.int64()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([*columns, last], schema=schema))
    return sink.getvalue().to_pybytes()


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def taken(rows: pa.Table, indices: I64) -> pa.Table:
    """Some rows, in one piece."""
    return rows.take(int64_array(indices)).combine_chunks()
