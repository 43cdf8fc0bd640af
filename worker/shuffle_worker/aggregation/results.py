"""The columns that each function of a groupBy takes, and the type of its result. Pure.

Types are as in SQL engines. Sums of integers have 64 bits, sums of decimals as many digits as their width holds, and a
sum that does not fit is an error, never a wrong number. Results of a division are 64-bit floats. A value that is picked
keeps its type. A group without values has a null, and a count of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Aggregation
from shuffle_worker.columns.arrow import Field
from shuffle_worker.columns.kinds import compares_as_stored, is_extension, is_number, values_of
from shuffle_worker.columns.schema import transport_type
from shuffle_worker.partitioning.hash import can_hash
from shuffle_worker.partitioning.order import can_order

NEED_NO_COLUMN = frozenset({"count", "size"})
KEEP_VALUES = frozenset({"median", "quantile", "countDistinct", "list", "approxQuantile", "approxCountDistinct"})
NEED_QUANTILE = frozenset({"quantile", "approxQuantile"})


class Fits(NamedTuple):
    """Which columns a function takes, and the type of its result."""

    takes: Callable[[pa.DataType], bool]
    """Whether it takes a column of this plain type."""
    said: str
    """The columns that it takes, for messages."""
    gives: Callable[[pa.DataType], pa.DataType]
    """The type of the result, from the declared type."""


def _summable(kind: pa.DataType) -> bool:
    return _averaged(kind) or pa.types.is_duration(kind)


def _averaged(kind: pa.DataType) -> bool:
    return is_number(kind) or pa.types.is_boolean(kind)


def _anything(kind: pa.DataType) -> bool:  # noqa: ARG001
    return True


def sum_type(declared: pa.DataType) -> pa.DataType:
    kind = transport_type(declared)
    if pa.types.is_decimal(kind):
        if kind.bit_width == 256:
            return pa.decimal256(76, kind.scale)
        return pa.decimal128(38, kind.scale)
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_duration(kind):
        return kind
    return pa.uint64() if pa.types.is_unsigned_integer(kind) else pa.int64()


def _same(declared: pa.DataType) -> pa.DataType:
    return declared


def _float(declared: pa.DataType) -> pa.DataType:  # noqa: ARG001
    return pa.float64()


def _count(declared: pa.DataType) -> pa.DataType:  # noqa: ARG001
    return pa.int64()


def _list(declared: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", declared))


_NUMBERS = "numbers"
_AVERAGED = Fits(_averaged, "numbers and booleans", _float)
_QUANTILE = Fits(is_number, _NUMBERS, _float)
_ORDERED = Fits(can_order, "numbers, text, bytes, times and booleans", _same)
_HASHED = Fits(can_hash, "numbers, text, bytes, times and booleans", _count)
_PICKED = Fits(_anything, "any", _same)
_TRUTH = Fits(pa.types.is_boolean, "booleans", _same)

FUNCTIONS: dict[str, Fits] = {
    "sum": Fits(_summable, "numbers, booleans and durations", sum_type),
    "mean": _AVERAGED,
    "min": _ORDERED,
    "max": _ORDERED,
    "count": Fits(_anything, "any", _count),
    "size": Fits(_anything, "any", _count),
    "countDistinct": _HASHED,
    "approxCountDistinct": _HASHED,
    "first": _PICKED,
    "last": _PICKED,
    "stddev": _AVERAGED,
    "variance": _AVERAGED,
    "skew": _AVERAGED,
    "median": _QUANTILE,
    "quantile": _QUANTILE,
    "approxQuantile": _QUANTILE,
    "list": Fits(_anything, "any", _list),
    "largest": Fits(can_order, "numbers, text, bytes, times and booleans", _list),
    "smallest": Fits(can_order, "numbers, text, bytes, times and booleans", _list),
    "corr": _QUANTILE,
    "any": _TRUTH,
    "all": _TRUTH,
}


def _takes(fits: Fits, declared: pa.DataType) -> bool:
    """Whether a function takes a declared type. Values of an extension type are no numbers, whatever their storage, and
    have the order of the storage or none."""
    if fits is _PICKED or fits.takes is _anything:
        return True
    if is_extension(values_of(declared)) and not (fits.takes in (can_order, can_hash) and compares_as_stored(declared)):
        return False
    return fits.takes(transport_type(declared))


def result_field(aggregation: Aggregation, schema: pa.Schema, where: str) -> Field:
    """The column that an aggregation adds. schema: the input's, with declared types. Raises InvalidSpec."""
    function, name = aggregation.function, aggregation.column
    fits = FUNCTIONS.get(function)
    if fits is None:
        raise InvalidSpec(f"{where}.function: there is no {function!r}; functions are {', '.join(FUNCTIONS)}")
    if name is None or function == "size":
        if function not in NEED_NO_COLUMN:
            raise InvalidSpec(f"{where}.column: missing: {function} is worked out from a column")
        return pa.field(aggregation.name, pa.int64(), nullable=False)
    declared = schema.field(name).type
    kind = transport_type(declared)
    if pa.types.is_null(kind):
        kind = declared = pa.null()
    elif not _takes(fits, declared):
        possible = ", ".join(sorted(other for other, one in FUNCTIONS.items() if _takes(one, declared)))
        raise InvalidSpec(
            f"{where}: {function} takes columns of {fits.said}, but {name!r} is {declared}; for such a column there "
            f"are {possible}"
        )
    _check_options(aggregation, schema, where)
    counted = function in ("count", "countDistinct", "approxCountDistinct")
    return pa.field(aggregation.name, fits.gives(declared), nullable=not counted)


def _check_options(aggregation: Aggregation, schema: pa.Schema, where: str) -> None:
    """Check what some functions need beside their column. Raises InvalidSpec."""
    function, name = aggregation.function, aggregation.column
    if function in ("largest", "smallest") and aggregation.values < 1:
        raise InvalidSpec(f"{where}.values: missing: how many of the {function} values of {name!r}")
    if function == "corr":
        if aggregation.other is None:
            raise InvalidSpec(f"{where}.with: missing: the column that {name!r} is correlated with")
        other = schema.field(aggregation.other).type
        if is_extension(values_of(other)) or not is_number(transport_type(other)):
            raise InvalidSpec(f"{where}.with: corr takes columns of numbers, but {aggregation.other!r} is {other}")
    if function in NEED_QUANTILE and aggregation.quantile is None:
        raise InvalidSpec(f"{where}.quantile: missing: which quantile of {name!r}, from 0 to 1")
