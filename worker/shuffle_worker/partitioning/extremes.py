"""The smallest and the largest key of a file, in the order of its keys, for the manifest.

Readers skip files by them, so they are exact; and they are JSON-ready: numbers and booleans as such (an integer beyond
2**53, a decimal, NaN and the infinities as text), bytes as hexadecimal, dates and times in ISO 8601 form. In text
that is no UTF-8 the bytes that are none are written as `\\xff`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import I64, Array, concat, plain
from shuffle_worker.columns.kinds import is_text
from shuffle_worker.columns.utf8 import told_text
from shuffle_worker.partitioning.order import key_columns
from shuffle_worker.partitioning.sort_keys import Word, key_words


class Extremes:
    """Given every row of a file, batch by batch. in_order: the rows come in the order of the keys."""

    def __init__(self, keys: Sequence[SortKey], in_order: bool) -> None:
        self._keys = list(keys)
        self._in_order = in_order
        self._found: list[pa.RecordBatch] = []  # two rows: the smallest and the largest so far

    def add(self, batch: pa.RecordBatch) -> None:
        if not self._keys or not batch.num_rows:
            return
        names = list(dict.fromkeys(key.column for key in self._keys))
        keyed = batch.select(names)
        if self._in_order:
            if not self._found:
                self._found = [keyed.slice(0, 1), keyed]
            self._found[1] = keyed.slice(keyed.num_rows - 1)
        else:
            first, last = self._rows(keyed)
            ends = [keyed.slice(first, 1), keyed.slice(last, 1)]
            if self._found:
                both = concat([self._found[0], *ends, self._found[1]])
                first, last = self._rows(both)
                ends = [both.slice(first, 1), both.slice(last, 1)]
            self._found = ends
        self._found = [concat([end, end.slice(0, 0)]) for end in self._found]  # keep no batch alive

    def found(self) -> tuple[list[object], list[object]] | None:
        """The smallest and the largest key; None for a file without rows."""
        if not self._found:
            return None
        first, last = ([json_value(end.column(key.column)) for key in self._keys] for end in self._found)
        return first, last

    def _rows(self, batch: pa.RecordBatch) -> tuple[int, int]:
        words = key_words(key_columns(batch, self._keys), self._keys)
        return _extreme(words, largest=False), _extreme(words, largest=True)


def _extreme(words: Sequence[Word], largest: bool) -> int:
    rows: I64 | None = None
    for each in words:
        if not each.tells(rows):
            continue
        found = each.of(rows)
        best = np.flatnonzero(found == (found.max() if largest else found.min()))
        rows = best if rows is None else rows[best]
        if len(rows) == 1:
            break
    return 0 if rows is None else int(rows[0])


def json_value(array: Array) -> object:
    """The first value of a column as JSON can say it."""
    array = plain(array)
    if not array[0].is_valid:
        return None
    kind = array.type
    if pa.types.is_temporal(kind):
        if pa.types.is_duration(kind):
            return f"{array.cast(pa.int64())[0].as_py()} {kind.unit}"
        if pa.types.is_timestamp(kind):
            text = array.cast(pa.timestamp(kind.unit)).cast(pa.string())[0].as_py().replace(" ", "T")
            return text + "Z" if kind.tz else text
        return array.cast(pa.string())[0].as_py()
    if is_text(kind):
        return told_text(array[0])
    value = array[0].as_py()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= 1 << 53 else str(value)
    return str(value)
