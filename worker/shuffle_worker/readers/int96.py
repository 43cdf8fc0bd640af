"""INT96 timestamps of Parquet: read in a unit that holds them, or refused by column; never wrapped, never rounded.

Hive, Impala and Spark store a day and the nanoseconds within it, which is more than 64 bits of nanoseconds hold:
9999-12-31, their "for ever", would come out as 1816. Microseconds hold all dates that these programs write, but not
the last three digits of times that are finer. So a file's columns are microseconds, unless a look at their first values
finds finer ones; and every value is then held against both decodings, which disagree where one of them lost something.

The price is a second decoding of these columns, and only of these. Memory: one more batch of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Array, call, children, parts
from shuffle_worker.columns.kinds import holds

WIDE, FINE = "us", "ns"

LOOK = 4096
"""Rows of a file's first and of its last row group that are looked at for times finer than microseconds."""

Decoded = Callable[[str, Sequence[int], Sequence[str], int], Iterator[pa.RecordBatch]]
"""(unit, row groups, columns, rows of a batch) -> batches."""


def int96_columns(metadata: pq.FileMetaData, schema: pa.Schema, leaves: Mapping[str, range]) -> list[str]:
    """The columns of a file that hold INT96, at any depth."""
    stored = metadata.schema
    return [
        field.name
        for field in schema
        if holds(field.type, pa.types.is_timestamp)
        and any(stored.column(leaf).physical_type == "INT96" for leaf in leaves[field.name])
    ]


def wants_fine(wide: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether the plan's type of a column has nanoseconds where the microseconds of an INT96 column stand."""
    types = pa.types
    if types.is_timestamp(wide) and types.is_timestamp(wanted):
        return bool(wide.unit == WIDE and wanted.unit == FINE)
    if types.is_struct(wide) and types.is_struct(wanted):
        both = ((field.type, parts(wanted).get_field_index(field.name)) for field in children(wide))
        return any(at >= 0 and wants_fine(kind, wanted.field(at).type) for kind, at in both)
    if types.is_nested(wide) and types.is_nested(wanted) and wide.num_fields == wanted.num_fields:
        pairs = zip(children(wide), children(wanted), strict=True)
        return any(wants_fine(one.type, other.type) for one, other in pairs)
    return False


def finer_columns(decoded: Decoded, names: Sequence[str], groups: int) -> set[str]:
    """Those whose first values are finer than microseconds."""
    found: set[str] = set()
    for group in sorted({0, groups - 1}) if groups and names else ():
        wide = next(decoded(WIDE, [group], names, LOOK), None)
        fine = next(decoded(FINE, [group], names, LOOK), None)
        if wide is not None and fine is not None:
            found |= {name for name in names if not _same(wide.column(name), fine.column(name))}
    return found


class Int96:
    """Reads batches of a file that has such columns. names: of these columns; fine: those to be given in nanoseconds;
    the others come in microseconds."""

    def __init__(self, path: str, names: Sequence[str], fine: set[str], decoded: Decoded) -> None:
        self._path = path
        self._names = list(names)
        self._fine = fine
        self._decoded = decoded

    def among(self, names: Sequence[str]) -> bool:
        return not set(self._names).isdisjoint(names)

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """As `Source.batches`. Raises DataError where the unit of a column does not hold a value."""
        mine = [name for name in self._names if name in set(names)]
        others = Rebatched(self._decoded(FINE, groups, mine, rows))
        for batch in self._decoded(WIDE, groups, names, rows):
            fine = others.take(batch.num_rows)
            for name in mine:
                at = batch.schema.get_field_index(name)
                column = self._checked(name, batch.column(at), fine.column(name))
                batch = batch.set_column(at, batch.schema.field(at).with_type(column.type), column)
            yield batch

    def _checked(self, name: str, wide: Array, fine: Array) -> Array:
        if name not in self._fine:
            if not _same(wide, fine):
                raise self._refused(
                    name, wide, "finer than microseconds, in which the job reads it by the first values of its file"
                )
            return wide
        try:
            wide.cast(fine.type)
        except pa.ArrowInvalid:
            raise self._refused(
                name,
                wide,
                "outside of 1677-09-21 to 2262-04-11, all that nanoseconds hold, and the job reads it in nanoseconds "
                "because other values of the column are that fine",
            ) from None
        return fine

    def _refused(self, name: str, wide: Array, what: str) -> DataError:
        first, last = _ends(wide)
        between = f" (between {first} and {last})" if first else ""
        return DataError(
            f"{self._path}: column {name!r} is stored as INT96, and a value here{between} is {what}; write the file "
            "again with times of one precision as INT64, or leave the column out with `columns`"
        )


class Rebatched:
    """Batches cut anew, to the sizes asked for."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int) -> pa.RecordBatch:
        """The next so many rows. Raises ValueError where there are fewer."""
        held: list[pa.RecordBatch] = []
        while rows:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise ValueError("the two decodings of its INT96 columns differ in their rows")
            held.append(batch.slice(0, rows))
            self._rest = batch.slice(rows) if batch.num_rows > rows else None
            rows -= held[-1].num_rows
        whole: pa.RecordBatch = held[0] if len(held) == 1 else parts(pa).concat_batches(held)
        return whole


def _same(wide: Array, fine: Array) -> bool:
    """Whether the microseconds are all that the nanoseconds say, modulo 2**64: neither lost a digit."""
    return bool(wide.cast(fine.type, safe=False).equals(fine))


def _ends(wide: Array) -> tuple[str, str]:
    """The first and the last time of a column, for people; nothing where it is nested."""
    if not pa.types.is_timestamp(wide.type):
        return "", ""
    ends = call("min_max", wide)
    texts = [call("cast", ends[which], pa.string()).as_py() for which in ("min", "max")]
    return texts[0] or "", texts[1] or ""
