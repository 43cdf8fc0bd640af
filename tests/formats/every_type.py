"""A column of every Arrow type that pyarrow can make, four rows each, one of them null; by a short name."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

Array = Any
_pa: Any = pa
D = decimal.Decimal
AT = dt.datetime.fromisoformat("2024-05-06T07:08:09")
DAY = dt.date(2024, 5, 6)
IDS = [bytes(range(n, n + 16)) for n in (200, 3, 200)]


def _of(values: list[Any], kind: Any) -> Array:
    return pa.array([*values, None], kind)


def _numbers() -> dict[str, Array]:
    found = {f"int{bits}": _of([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 5], f"int{bits}") for bits in (8, 16, 32, 64)}
    found |= {f"uint{bits}": _of([0, 2**bits - 1, 5], f"uint{bits}") for bits in (8, 16, 32, 64)}
    found |= {"half": _of([np.float16(1.5), np.float16(-2), np.float16(1.5)], pa.float16())}
    found |= {"float": _of([1.5, -2.25, 1.5], pa.float32()), "double": _of([1e300, -2.25, 1e300], pa.float64())}
    found |= {"bool": _of([True, False, True], pa.bool_()), "null": pa.nulls(4)}
    for bits, digits in ((32, 9), (64, 18), (128, 38), (256, 76)):
        make = getattr(pa, f"decimal{bits}")
        found[f"decimal{bits}"] = _of([D("-1.25"), D("3.50"), D("3.50")], make(digits - 4, 2))
        # pyarrow makes no decimals of negative scale from values: 12 * 10**2
        plain = _of([D(-12), D(35), D(35)], make(digits - 4, 0))
        found[f"decimal{bits}, scale -2"] = pa.Array.from_buffers(make(digits - 4, -2), 4, plain.buffers())
    return found


def _times() -> dict[str, Array]:
    found: dict[str, Array] = {"date32": _of([DAY, dt.date(1, 1, 1), DAY], pa.date32())}
    found["date64"] = _of([DAY, dt.date(1, 1, 1), DAY], pa.date64())
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "+00:00", "Asia/Tokyo"):
            name = f"timestamp {unit} {zone or ''}".strip()
            found[name] = _of([AT, dt.datetime.fromisoformat("1900-01-01"), AT], _pa.timestamp(unit, zone))
        found[f"duration {unit}"] = _of([dt.timedelta(days=-1), dt.timedelta(seconds=7)] * 2, _pa.duration(unit))[1:]
        clock = _pa.time32 if unit in ("s", "ms") else _pa.time64
        found[f"time {unit}"] = _of([AT.time(), dt.time(0, 0, 1), AT.time()], clock(unit))
    for unit in ("s", "ms", "us"):
        far = [dt.datetime.fromisoformat("9999-12-31"), dt.datetime.fromisoformat("0001-01-01"), AT]
        found[f"timestamp {unit}, far"] = _of(far, _pa.timestamp(unit))
    found["interval"] = _of([(1, 2, 3), (-1, 0, 5), (1, 2, 3)], pa.month_day_nano_interval())
    return found


def _texts() -> dict[str, Array]:
    texts = ["b", "a text longer than twelve bytes", "b"]
    found = {name: _of(texts, getattr(pa, name)()) for name in ("string", "large_string", "string_view")}
    kinds = ("binary", "large_binary", "binary_view")
    found |= {name: _of([text.encode() + b"\xff" for text in texts], getattr(pa, name)()) for name in kinds}
    return {**found, "fixed binary": _of([b"zz\xff", b"aa\x00", b"zz\xff"], pa.binary(3))}


_PAIR = pa.struct([("a", pa.int8()), ("b", pa.string())])


def _nested() -> dict[str, Array]:
    lists = [[1, None, 3], [], [2, 3, 4]]
    found = {name: _of(lists, getattr(pa, name)(pa.int16())) for name in ("list_", "large_list", "list_view")}
    found["large_list_view"] = _of(lists, pa.large_list_view(pa.int16()))
    found["fixed list"] = _of([[1, 2], [None, 4], [1, 2]], pa.list_(pa.int16(), 2))
    found["struct"] = _of(
        [{"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"a": 1, "b": "x"}],
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
    )
    found["struct of nothing"] = _of([{}, {}, {}], pa.struct([]))
    found["map"] = _of([[("k", 1), ("l", None)], [], [("m", 2)]], pa.map_(pa.string(), pa.int16()))
    found["map of numbers"] = _of([[(1, "x")], [], [(2, None)]], pa.map_(pa.int8(), pa.string()))
    tags = pa.array([0, 1, 0, 1], pa.int8())
    numbers, words = pa.array([1, None, 3, 4]), pa.array(["a", "b", "c", None])
    found["sparse union"] = _pa.UnionArray.from_sparse(tags, [numbers, words])
    found["dense union"] = _pa.UnionArray.from_dense(tags, pa.array([0, 0, 2, 3], pa.int32()), [numbers, words])
    return found


_VALUES: dict[str, Callable[[], Array]] = {
    "string": lambda: pa.array(["b", "a"]),
    "large_string": lambda: pa.array(["b", "a"], pa.large_string()),
    "string_view": lambda: pa.array(["b", "a text longer than twelve bytes"], pa.string_view()),
    "binary": lambda: pa.array([b"b", b"\xff"]),
    "binary_view": lambda: pa.array([b"b", b"\xff"], pa.binary_view()),
    "fixed binary": lambda: pa.array([b"bb", b"\xff\x00"], pa.binary(2)),
    "int64": lambda: pa.array([7, -7]),
    "uint8": lambda: pa.array([7, 250], pa.uint8()),
    "half": lambda: pa.array([np.float16(1), np.float16(2)], pa.float16()),
    "double": lambda: pa.array([1.5, -1.5]),
    "bool": lambda: pa.array([True, False]),
    "date32": lambda: pa.array([DAY, dt.date(1, 1, 1)]),
    "timestamp": lambda: pa.array([AT, AT + dt.timedelta(1)], pa.timestamp("us", "UTC")),
    "time": lambda: pa.array([AT.time(), dt.time(1)], pa.time64("us")),
    "duration": lambda: pa.array([1, 2], pa.duration("ms")),
    "decimal32": lambda: pa.array([D("1.5"), D("-1.5")], pa.decimal32(5, 1)),
    "decimal128": lambda: pa.array([D("1.5"), D("-1.5")], pa.decimal128(5, 1)),
    "decimal256": lambda: pa.array([D("1.5"), D("-1.5")], pa.decimal256(50, 1)),
    "interval": lambda: pa.array([(1, 2, 3), (3, 2, 1)], pa.month_day_nano_interval()),
    "null": lambda: pa.nulls(2),
    "list": lambda: pa.array([[1], [2, 3]]),
    "struct": lambda: pa.array([{"a": 1}, {"a": 2}]),
    "uuid": lambda: extension(pa.uuid(), pa.array(IDS[:2], pa.binary(16))),
}


def _encoded() -> dict[str, Array]:
    places = [0, 1, 0, None]
    found: dict[str, Array] = {}
    for width in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        found[f"dictionary by {width}"] = _dictionary(pa.array(places, width), pa.array(["b", "a"]))
    for name, values in _VALUES.items():
        found[f"dictionary of {name}"] = _dictionary(pa.array(places, pa.int8()), values())
        if name != "null":
            ends = pa.array([1, 3, 4], pa.int32())
            runs = pa.concat_arrays([values(), pa.nulls(1, values().type)])
            found[f"runs of {name}"] = _pa.RunEndEncodedArray.from_arrays(ends, runs)
    inner = _dictionary(pa.array([1, 0], pa.int8()), pa.array(["b", "a"]))
    found["dictionary of dictionaries"] = _dictionary(pa.array(places, pa.int16()), inner)
    found["ordered dictionary"] = _dictionary(pa.array(places, pa.int8()), pa.array(["b", "a"]), True)
    for width in ("int16", "int64"):
        found[f"runs by {width}"] = _pa.RunEndEncodedArray.from_arrays(pa.array([3, 4], width), pa.array(["b", None]))
    return found


def _dictionary(places: Array, values: Array, ordered: bool = False) -> Array:
    return _pa.DictionaryArray.from_arrays(places, values, ordered=ordered)


def extension(kind: Any, storage: Array) -> Array:
    return _pa.ExtensionArray.from_storage(kind, storage)


def _extensions() -> dict[str, Array]:
    tensor, views = _pa.fixed_shape_tensor(pa.int16(), [2]), pa.list_view(pa.int8())
    return {
        "uuid": extension(pa.uuid(), _of(IDS, pa.binary(16))),
        "json": extension(_pa.json_(), _of(['{"a":1}', "2", '{"a":1}'], pa.string())),
        "json of views": extension(_pa.json_(pa.string_view()), _of(['{"a":1}', "2", "2"], pa.string_view())),
        "bool8": extension(_pa.bool8(), _of([1, 0, 1], pa.int8())),
        "opaque": extension(_pa.opaque(pa.int32(), "kind", "vendor"), _of([1, 2, 1], pa.int32())),
        "opaque views": extension(_pa.opaque(views, "k", "v"), _of([[1], [2], []], views)),
        "tensor": extension(tensor, _of([[1, 2], [3, 4], [1, 2]], pa.list_(pa.int16(), 2))),
    }


COLUMNS: dict[str, Array] = {**_numbers(), **_times(), **_texts(), **_nested(), **_encoded(), **_extensions()}

SHAPES: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda column: column,
    "list": lambda column: _lists(column),
    "struct": lambda column: _structs(column),
    "list of structs": lambda column: _lists(_structs(column)),
    "struct of lists": lambda column: _structs(_lists(column)),
    "list of lists": lambda column: _lists(_lists(column)),
    "map": lambda column: _maps(column),
    "map of structs": lambda column: _maps(_structs(column)),
}
"""What a column is put into; each has four rows again, one of them null where that kind can be."""


def _lists(column: Array) -> Array:
    offsets = pa.array([0, 2, 2, None, len(column)], pa.int32())
    return _pa.ListArray.from_arrays(offsets, column)


def _structs(column: Array) -> Array:
    absent = pa.array([False, True, False, False])
    return _pa.StructArray.from_arrays([column, pa.array(range(len(column)))], ["x", "y"], mask=absent)


def _maps(column: Array) -> Array:
    offsets = pa.array([0, 2, 2, None, len(column)], pa.int32())
    return _pa.MapArray.from_arrays(offsets, pa.array(["k", "l", "m", "n"]), column)


def values(column: Any) -> list[Any]:
    """What stands in a column, whatever it is stored as."""
    return [_plain(one) for one in column.to_pylist()]


def _plain(one: Any) -> Any:
    if isinstance(one, uuid.UUID):
        return one.bytes
    if isinstance(one, np.ndarray):
        return [_plain(item) for item in one.tolist()]
    if isinstance(one, dict):
        return {key: _plain(item) for key, item in one.items()}
    if isinstance(one, list | tuple):
        return [_plain(item) for item in one]
    return one
