"""Random tables for grouping: keys of every type that can be one, values whose sums are exact, nulls in all of them."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pyarrow as pa

D = decimal.Decimal

KEYS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int8": (pa.int8(), [-128, 0, 127]),
    "int64": (pa.int64(), [-(2**63), -1, 0, 2**63 - 1]),
    "uint64": (pa.uint64(), [0, 2**63, 2**64 - 1]),
    "float": (pa.float64(), [0.0, -0.0, float("nan"), -1.5, float("inf")]),
    "float32": (pa.float32(), [0.0, -0.0, 0.25]),
    "flag": (pa.bool_(), [True, False]),
    "text": (pa.string(), ["", "a", "a\0", "b" * 70, "b" * 69 + "c"]),
    "large": (pa.large_string(), ["x", "é", "日本"]),
    "bytes": (pa.binary(), [b"", b"\0", b"\xff"]),
    "fixed": (pa.binary(3), [b"abc", b"\0\0\0"]),
    "money": (pa.decimal128(12, 2), [D("-1.10"), D("0.00"), D("9999999999.99")]),
    "huge": (pa.decimal128(38, 4), [D("-1.5000"), D("1234567890123456789012345.0001")]),
    "day": (pa.date32(), [0, -1, 20_000]),
    "time": (pa.timestamp("us"), [0, 10**15]),
    "zoned": (pa.timestamp("us", "Europe/Berlin"), [0, 10**15]),
    "clock": (pa.time64("us"), [0, 86_399_999_999]),
    "length": (pa.int32(), [1, 2, 3]),
    "word": (pa.dictionary(pa.int8(), pa.string()), ["red", "green"]),
}

VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "i8": (pa.int8(), [-128, 127, 5]),
    "i32": (pa.int32(), [-(2**31), 2**31 - 1, 7]),
    "i64": (pa.int64(), [-(2**50), 2**50, 3]),
    "u64": (pa.uint64(), [0, 2**55, 3]),
    "f32": (pa.float32(), [0.5, -3.0, 1.25]),
    "f64": (pa.float64(), [0.5, -1024.0, 0.0078125, 0.0]),
    "nan": (pa.float64(), [0.5, float("nan"), float("inf"), -2.0]),
    "dec": (pa.decimal128(9, 2), [D("1.25"), D("-9999999.99"), D("0.01")]),
    "wide": (pa.decimal128(30, 1), [D("12345678901234567890123.5"), D("-0.5")]),
    "str": (pa.string(), ["", "x", "xy", "é", "z" * 100]),
    "bin": (pa.binary(), [b"", b"\xff\0", b"\xff"]),
    "bool": (pa.bool_(), [True, False]),
    "date": (pa.date32(), [-1, 0, 20_000]),
    "ts": (pa.timestamp("us"), [-1, 0, 10**15]),
    "list": (pa.list_(pa.int64()), [[1, None], [], [2]]),
    "cat": (pa.dictionary(pa.int16(), pa.string()), ["lo", "hi"]),
}


def column(kind: pa.DataType, values: list[Any], rows: int, nulls: float, random: np.random.Generator) -> pa.Array[Any]:
    chosen = [values[at] for at in random.integers(0, len(values), rows)]
    data = [None if random.random() < nulls else value for value in chosen]
    if pa.types.is_temporal(kind):
        width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        return pa.array(data, width).cast(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(data, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(data, kind)


def random_table(rows: int, seed: int, keys: list[str], values: list[str], nulls: float = 0.125) -> pa.Table:
    """Key columns by their names in `KEYS`, value columns by theirs in `VALUES`, and `row`: the place in the input."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array[Any]] = {"row": pa.array(range(rows), pa.int64())}
    for name in keys:
        columns[name] = column(*KEYS[name], rows, nulls, random)
    for name in values:
        columns[name] = column(*VALUES[name], rows, nulls, random)
    return pa.table(columns)
