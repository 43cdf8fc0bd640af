"""Messages about results that are no table: what the function returned, and what to return instead.

Imports none of the libraries: it recognises a type by its name and module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

EXPECTED = "expected a pa.Table, a pa.RecordBatch, a data frame or a dict of arrays"
MOST_VALUE = 40
MOST_TYPES = 256


class ResultKind(Enum):
    """What a result is, as far as it makes a difference."""

    PANDAS = "a DataFrame of pandas, or of a class that derives from it"
    POLARS = "a DataFrame of Polars"
    LAZY = "a LazyFrame of Polars"
    CUDF = "a DataFrame of cuDF"
    ARRAYS = "a dict of arrays: NumPy's, PyTorch's, CuPy's or Arrow's"
    OTHER = "anything else"


_CLASSES = {
    ("pandas", "DataFrame"): ResultKind.PANDAS,
    ("polars", "DataFrame"): ResultKind.POLARS,
    ("polars", "LazyFrame"): ResultKind.LAZY,
    ("cudf", "DataFrame"): ResultKind.CUDF,
}
_ARRAYS = (("numpy", "ndarray"), ("torch", "Tensor"), ("cupy", "ndarray"), ("pyarrow", "Array"))
_KINDS: dict[type, ResultKind] = {}
"""Cache of `kind_of` for up to `MOST_TYPES` types, because it is called for every result."""

_SCALARS = ("bool", "int", "float", "complex", "Decimal", "date", "datetime", "timedelta", "Timestamp", "Timedelta")


def kind_of(result: object) -> ResultKind:
    """Goes by the names of classes and their packages: no library is imported."""
    if type(result) is dict:
        return ResultKind.ARRAYS if result and all(map(is_array, result.values())) else ResultKind.OTHER
    kind = type(result)
    known = _KINDS.get(kind)
    if known is None:
        names = [(_package(one), one.__name__) for one in kind.__mro__]
        known = next((_CLASSES[name] for name in names if name in _CLASSES), ResultKind.OTHER)
        if len(_KINDS) < MOST_TYPES:
            _KINDS[kind] = known
    return known


def is_array(value: object) -> bool:
    return any((_package(one), one.__name__) in _ARRAYS for one in type(value).__mro__)


def no_table(result: object, verb: str) -> str:
    """A sentence about a result that is no table. verb: returned or yielded."""
    return f"it {verb} {_what(result)}, {EXPECTED}; {_instead(result, verb)}"


def index_advice(frame: Any, wanted: Sequence[str]) -> str:
    """Advice for a data frame whose index is a wanted column: the index is not written."""
    names = [str(name) for name in frame.index.names if name is not None]
    found = [name for name in names if name in wanted and name not in map(str, frame.columns)]
    if not found:
        return ""
    return f"; the index {found[0]!r} is no column: return frame.reset_index()"


def _what(result: object) -> str:
    kind = type(result)
    package = _package(kind)
    if result is None:
        return "None"
    if isinstance(result, type):
        return f"the class {result.__qualname__} itself"
    if callable(result) and package in ("builtins", "functools"):
        return f"the function {getattr(result, '__name__', 'that it made')} itself"
    name = kind.__qualname__ if package == "builtins" else f"{package}'s {kind.__qualname__}"
    article = "" if package != "builtins" else "an " if name[0].lower() in "aeiou" else "a "
    return f"{article}{name}{_value(result)}"


def _value(result: object) -> str:
    if not isinstance(result, bool | int | float | str):
        return ""
    text = repr(result)
    return f" ({text[:MOST_VALUE]}{'...' if len(text) > MOST_VALUE else ''})"


def _instead(result: object, verb: str) -> str:
    kind = type(result)
    package = _package(kind)
    word = verb.removesuffix("ed")
    if result is None:
        end = (
            f"does every way through it end in `{word}`?" if verb == "returned" else "leave the `yield` out for no rows"
        )
        return f"for no rows, {word} an empty table; {end}"
    if isinstance(result, type) or callable(result):
        return f"call it: {word} {getattr(result, '__name__', 'it')}(...)"
    for test, advice in _ADVICE:
        if test(result, kind.__name__, package):
            return advice.format(word=word)
    return f'{word} pa.table({{"name": values, ...}})'


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_rows(result: object) -> bool:
    return isinstance(result, list | tuple) and bool(result) and all(isinstance(one, Mapping) for one in result)


def _is_tables(result: object) -> bool:
    kinds = ("Table", "RecordBatch", "DataFrame")
    return isinstance(result, list | tuple) and bool(result) and all(type(one).__name__ in kinds for one in result)


Test = Callable[[Any, str, str], bool]
_ADVICE: list[tuple[Test, str]] = [
    (lambda r, _, p: p == "pandas" and hasattr(r, "to_frame"), "{word} series.to_frame(), with reset_index() before it "
     "where the index is a column too, or for one row pd.DataFrame([series])"),
    (lambda _, n, p: p == "pandas" and "GroupBy" in n, "aggregate it first, as with .agg(...).reset_index()"),
    (lambda _, n, p: p == "polars" and n == "Series", "{word} series.to_frame()"),
    (lambda _, n, p: p == "pyarrow" and n in ("FileSystemDataset", "InMemoryDataset", "UnionDataset", "Scanner"),
     "{word} dataset.to_table()"),
    (lambda _, n, p: p == "pyarrow" and n.endswith("Array"), '{word} pa.table({{"name": array}})'),
    (lambda r, _, __: isinstance(r, Mapping) and any(map(is_array, r.values())), "{word} an array for every column: "
     "np.array([value]) for a single value"),
    (lambda r, _, __: isinstance(r, Mapping), "{word} pa.table(columns) where it holds a list for each column, or "
     "pa.Table.from_pylist([row]) where it is a row"),
    (lambda r, _, __: _is_rows(r), "{word} pa.Table.from_pylist(rows)"),
    (lambda r, _, __: _is_tables(r), "yield them one by one, or {word} pa.concat_tables(tables)"),
    (lambda r, _, __: isinstance(r, list | tuple | set | frozenset), '{word} pa.table({{"name": list}})'),
    (lambda _, n, p: p == "numpy" and n in ("ndarray", "recarray"), '{word} pa.table({{"name": array}})'),
    (lambda r, n, p: isinstance(r, str | bytes) or n in _SCALARS or p == "numpy", '{word} a table of one row: '
     'pa.table({{"name": [value]}})'),
    (lambda _, n, __: n == "coroutine", "write the function without async"),
]  # fmt: skip
"""The first test that holds gives the advice."""
