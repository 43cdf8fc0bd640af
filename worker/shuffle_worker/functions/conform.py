"""Turns what a function returned into an Arrow table with the declared columns, or says how it differs.

Columns may come in another order, and in another type if every value is kept: wider or narrower numbers whose values
fit, strings and large strings, other units of the same instant, a column of nulls without a type. Anything else is an
error that names every column that differs. A string never becomes a number, and no number is rounded.

`child.py` calls it; nothing here imports pandas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shuffle_protocol.units import some
from shuffle_worker.columns.arrow import call, children, parts
from shuffle_worker.columns.schema import convert, to_transport
from shuffle_worker.functions.array_results import of_arrays
from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.objects import NotThese, array_of, first_not
from shuffle_worker.functions.returned import ResultKind, index_advice, kind_of, no_table

MOST_TOLD = 5

if TYPE_CHECKING:  # the stubs have type parameters, the class has none
    Chunked = pa.ChunkedArray[Any]
else:
    Chunked = pa.ChunkedArray


def pieces_of(result: object) -> Iterator[tuple[object, str]]:
    """The object that a function returned, or each that it yields, with the verb for it."""
    if isinstance(result, pa.RecordBatchReader) or (isinstance(result, Iterator) and not hasattr(result, "columns")):
        for one in result:
            yield one, "yielded"
    else:
        yield result, "returned"


def held_to(result: object, wanted: pa.Schema | None, verb: str) -> pa.Table:
    """The result as a table, in the wanted columns if there are any. verb: returned or yielded. Raises Differs."""
    table = table_of(result, wanted, verb)
    if wanted is None:
        return table
    try:
        return conformed(table, wanted)
    except Differs as error:
        advice = index_advice(result, wanted.names) if kind_of(result) is ResultKind.PANDAS else ""
        raise Differs(f"{error}{advice}") from error


def conformed(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The table in the wanted columns. Raises Differs."""
    if table.schema.equals(wanted):
        return table
    names = table.schema.names
    times, expected = Counter(names), frozenset(wanted.names)
    problems = [f"{name!r} is missing" for name in wanted.names if name not in times]
    problems += [
        f"{name!r} ({table.schema.types[at]}) is not expected" for at, name in enumerate(names) if name not in expected
    ]
    problems += [f"{name!r} is there more than once" for name, count in times.items() if count > 1]
    columns: list[Any] = []
    for field in wanted:
        if times[field.name] != 1:
            continue
        column = table.column(field.name)
        try:
            columns.append(column if column.type == field.type else _cast(column, field.type))
        except Differs as error:
            problems.append(f"{field.name!r} is {column.type}, expected {field.type}{error}")
    if problems:
        raise Differs(some(problems, MOST_TOLD, "; "))
    return pa.Table.from_arrays(columns, schema=wanted)


def _cast(column: Chunked, kind: pa.DataType) -> Chunked:
    if not keeps(column.type, kind):
        raise Differs("")
    try:
        chunks = [convert(chunk, kind) for chunk in column.chunks]
        if _may_round(kind):
            for chunk, cast in zip(column.chunks, chunks, strict=True):
                _refuse_rounded(to_transport(chunk), to_transport(cast))
        made: Chunked = parts(pa).chunked_array(chunks, type=kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Differs(f": {str(error).splitlines()[0][:200]}") from error
    return made


def _may_round(kind: pa.DataType) -> bool:
    """Whether Arrow's safe cast to a type may round silently: to a narrower float, at any depth."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _may_round(parts(kind).value_type)
    if pa.types.is_nested(kind):
        return any(_may_round(field.type) for field in children(kind))
    return pa.types.is_floating(kind) and kind.bit_width < 64


def _refuse_rounded(found: Any, made: Any) -> None:
    """Raises Differs with the first value of `found` that differs in `made`. Both have plain types."""
    if found.type == made.type or pa.types.is_null(found.type):
        return
    if pa.types.is_struct(found.type):
        fields = {field.name: part for field, part in zip(found.type, found.flatten(), strict=True)}
        for field, part in zip(made.type, made.flatten(), strict=True):
            _refuse_rounded(fields[field.name], part)
    elif pa.types.is_map(found.type):
        _refuse_rounded(found.keys, made.keys)
        _refuse_rounded(found.items, made.items)
    elif _is_list(found.type):
        _refuse_rounded(call("list_flatten", found), call("list_flatten", made))
    elif pa.types.is_floating(made.type):
        same = call("equal", made.cast(found.type), found)
        if pa.types.is_floating(found.type):
            same = call("or_", same, call("is_nan", found))
        at = call("index", same, value=False).as_py()
        if at >= 0:
            raise Differs(f": {found[at].as_py()} would become {made[at].as_py()}")


def keeps(found: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a cast between two types keeps the meaning of every value for which it succeeds."""
    types = pa.types
    if found == kind or types.is_null(found):
        return True
    if types.is_dictionary(found) or types.is_run_end_encoded(found):
        return keeps(parts(found).value_type, kind)
    if types.is_dictionary(kind):
        return keeps(found, parts(kind).value_type)
    if types.is_integer(found):
        return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if types.is_floating(found):
        return types.is_floating(kind) or types.is_integer(kind)
    if types.is_timestamp(found) and types.is_timestamp(kind):
        return (found.tz is None) == (kind.tz is None)
    if types.is_date(found):
        return types.is_date(kind)
    for same in (types.is_decimal, _is_text, _is_bytes, types.is_duration, types.is_time):
        if same(found):
            return same(kind)
    return _nested_keeps(found, kind)


def _nested_keeps(found: pa.DataType, kind: pa.DataType) -> bool:
    types = pa.types
    if _is_list(found) and _is_list(kind):
        return keeps(parts(found).value_type, parts(kind).value_type)
    if types.is_map(found) and types.is_map(kind):
        return keeps(parts(found).key_type, parts(kind).key_type) and keeps(
            parts(found).item_type, parts(kind).item_type
        )
    if types.is_struct(found) and types.is_struct(kind):
        inside = {field.name: field.type for field in children(found)}
        wanted = {field.name: field.type for field in children(kind)}
        return inside.keys() == wanted.keys() and all(keeps(inside[name], wanted[name]) for name in wanted)
    return False


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def table_of(result: object, wanted: pa.Schema | None, verb: str) -> pa.Table:
    """The result as a table. wanted: see `_of_frame`. Raises Differs if it is no table."""
    if isinstance(result, pa.Table):
        return result
    if isinstance(result, pa.RecordBatch):
        return pa.Table.from_batches([result])
    kind = kind_of(result)
    if kind is ResultKind.PANDAS:
        return _of_frame(result, wanted)
    if kind is ResultKind.ARRAYS:
        arrays: Any = result
        return of_arrays(arrays, wanted)
    if kind in (ResultKind.LAZY, ResultKind.CUDF):
        return _of_library(result, kind)
    if hasattr(result, "__arrow_c_stream__") and not (isinstance(result, type) or hasattr(result, "to_frame")):
        try:
            made: pa.Table = pa.table(result)
        except (pa.ArrowException, TypeError) as error:
            raise Differs(no_table(result, verb)) from error
        return made
    raise Differs(no_table(result, verb))


def _of_library(result: Any, kind: ResultKind) -> pa.Table:
    """A frame of a library that gives Arrow only when it is asked to."""
    try:
        made: Any = result.collect() if kind is ResultKind.LAZY else result.to_arrow(preserve_index=False)
        table: pa.Table = pa.table(made)
    except pa.ArrowException as error:
        raise Differs(f"{kind.value} that Arrow cannot hold: {str(error).splitlines()[0][:200]}") from error
    return table


def _of_frame(frame: Any, wanted: pa.Schema | None) -> pa.Table:
    """A data frame without its index. A column of Python objects gets the wanted type, because the objects alone may
    not tell their type: an empty list, a dict, nothing but None."""
    names = [str(name) for name in frame.columns]
    columns: list[Any] = []
    for at, name in enumerate(names):
        series = frame.iloc[:, at]
        kind = wanted.field(name).type if wanted is not None and wanted.names.count(name) == 1 else None
        try:
            made = _of_series(series, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, NotThese) as error:
            held = "Python objects" if series.dtype == object else str(series.dtype)
            expected = f", expected {kind}" if kind is not None else ""
            raise Differs(f"{name!r} holds {held}{expected}: {str(error).splitlines()[0][:200]}") from error
        columns.append(made)
    return pa.Table.from_arrays(columns, names=names)


def _of_series(series: Any, kind: pa.DataType | None) -> Any:
    """A column of a data frame as Arrow. kind: the type to which the caller casts it. Raises NotThese, Arrow's
    errors."""
    if series.dtype == object:
        objects = array_of(series, kind)
        if kind is not None and not keeps(objects.type, kind):
            raise NotThese(first_not(series, kind))
        return objects
    made: Any = pa.array(series, from_pandas=True)
    if isinstance(made, pa.ChunkedArray) and made.num_chunks > 1:  # of many small frames: each would be cast by itself
        made = made.combine_chunks()
    known = getattr(series.dtype, "categories", None)  # not of dictionaries of Arrow that pandas holds as they are
    if isinstance(made, pa.DictionaryArray) and known is not None and known.dtype == object:
        values = parts(kind).value_type if kind is not None and pa.types.is_dictionary(kind) else kind
        categories = array_of(known, values)
        return parts(pa).DictionaryArray.from_arrays(made.indices, categories, ordered=series.cat.ordered)
    return made
