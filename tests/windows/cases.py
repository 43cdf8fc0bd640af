"""Tables and calls for tests of windows: every type, with nulls, ties, NaN and zeros of both signs."""

from __future__ import annotations

import decimal
import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tests.groupby.random_tables import VALUES, column

from shuffle_protocol.jobs import SortKey

D = decimal.Decimal

ORDERS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "small": (pa.int16(), [-3, 0, 1, 2, 3, 7]),
    "float": (pa.float64(), [0.0, -0.0, 0.5, float("nan"), float("inf"), -2.0]),
    "text": (pa.string(), ["", "a", "b", "b" * 70, "b" * 70 + "c"]),
    "money": (pa.decimal128(10, 2), [D("-1.50"), D("0.00"), D("1.00"), D("2.50"), D("2.75")]),
    "day": (pa.date32(), [0, 1, 2, 31, 40, 400]),
    "time": (pa.timestamp("us"), [0, 1, 60_000_000, 90_000_000, 86_400_000_000, 3 * 86_400_000_000]),
    "zoned": (pa.timestamp("ms", "Europe/Berlin"), [0, 60_000, 90_000, 86_400_000, 3 * 86_400_000]),
    "huge": (pa.decimal128(30, 4), [D("-1.5000"), D("12345678901234567890.0001")]),
}

DISTANCES = {
    "small": ["0", "1", "3"],
    "money": ["0.25", "1", "1.5"],
    "day": ["INTERVAL '1 day'", "INTERVAL '1 month'", "INTERVAL '50 days'"],
    "time": ["INTERVAL '1 minute'", "INTERVAL '1 day'", "INTERVAL '1 month'"],
    "zoned": ["INTERVAL '1 minute'", "INTERVAL '2 days'"],
}
"""Offsets of a RANGE, by the column of the order, the smaller first."""

NUMBERS = ["i8", "i32", "i64", "u64", "f32", "f64", "dec", "wide", "bool"]
ORDERED = [*NUMBERS, "nan", "str", "bin", "date", "ts"]
ANY = [*ORDERED, "list", "cat"]
ENDS = ["UNBOUNDED PRECEDING", "{} PRECEDING", "CURRENT ROW", "{} FOLLOWING", "UNBOUNDED FOLLOWING"]


def table_of_rows(count: int, seed: int) -> pa.Table:
    """`row`, the place in the input; `k`, what makes a window; columns to order by; a column of each type of value."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array[Any]] = {"row": pa.array(range(count), pa.int64())}
    columns["k"] = column(pa.string(), ["a", "b", "c", "d" * 20], count, 0.1, random)
    for name, (kind, values) in ORDERS.items():
        columns[name] = column(kind, values, count, 0.15, random)
    for name in ANY:
        columns[name] = column(*VALUES[name], count, 0.15, random)
    columns["i64"] = pa.array(
        [None if one is None else one % (1 << 40) for one in columns["i64"].to_pylist()], pa.int64()
    )
    return pa.table(columns)


def frames(unit: str, offsets: list[str]) -> list[str]:
    """Every frame from one of the ends to another, with each offset on one side."""
    found = []
    for first in range(4):
        for last in range(max(first, 1), 5):
            pair = [ENDS[first].format(offsets[0]), ENDS[last].format(offsets[-1])]
            if first == last and first in (1, 3):
                pair = [
                    ENDS[first].format(offsets[-1 if first == 1 else 0]),
                    ENDS[last].format(offsets[0 if first == 1 else -1]),
                ]
            found.append(f"{unit} BETWEEN {pair[0]} AND {pair[1]}")
    return found


class Case(NamedTuple):
    """A call, and what DuckDB calls the same."""

    call: str
    frame: str
    by_place: bool
    """Ties are told apart by the place in the input."""

    @property
    def text(self) -> str:
        return f"{self.call} OVER {self.frame}" if self.frame else self.call

    def sql(self, order: list[SortKey]) -> str:
        terms = [spelled(key) for key in order] + (["row"] if self.by_place else [])
        by = f"ORDER BY {', '.join(terms)}" if terms else ""
        call = self.call.replace("avg(bool)", "avg(CAST(bool AS INT))")
        for name in ("dec", "wide"):
            call = call.replace(f"avg({name})", f"avg(CAST({name} AS DOUBLE))")
        return f"{call} OVER (PARTITION BY k {by} {self.frame})"


def spelled(key: SortKey) -> str:
    """A term of ORDER BY; zeros have no sign."""
    name = (
        f'CASE WHEN "{key.column}" = 0 THEN 0 ELSE "{key.column}" END' if key.column == "float" else f'"{key.column}"'
    )
    return f"{name} {'DESC' if key.descending else 'ASC'} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def alike(found: object, expected: object) -> bool:
    """Equal; floats but for rounding, for others add them up in another way."""
    if isinstance(found, float) and isinstance(expected, int | float | D):
        other = float(expected)
        if math.isnan(found) or math.isnan(other):
            return math.isnan(found) and math.isnan(other)
        return math.isclose(found, other, rel_tol=1e-9, abs_tol=1e-9)
    return (type(found) is type(expected) and bool(found == expected)) or found == expected
