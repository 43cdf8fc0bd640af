"""Functions that choose one of their arguments, all of one type."""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Values, call, scalar
from shuffle_worker.expressions.functions.registry import ANY, Kernel, Section, plain, same, several

CHOICES = Section("Choices")
define = CHOICES.define


def _nullif(one: Array, other: Array) -> Array:
    equal = call("fill_null", call("equal", one, other), scalar(False, pa.bool_()))
    return call("if_else", equal, scalar(None, one.type), one)  # type: ignore[no-any-return]


def _extreme(function: str, nan_wins: bool) -> Kernel:
    """Nulls are passed over; NaN is larger than any number."""

    def kernel(*columns: Array) -> Array:
        kind = columns[0].type
        if pa.types.is_boolean(kind):
            columns = tuple(column.cast(pa.int8()) for column in columns)
        found = call(function, *columns)
        if nan_wins and pa.types.is_floating(kind):
            some: Values = scalar(False, pa.bool_())
            for column in columns:
                some = call("or_", some, call("fill_null", call("is_nan", column), scalar(False, pa.bool_())))
            found = call("if_else", some, scalar(float("nan"), kind), found)
        return found.cast(kind)  # type: ignore[no-any-return]

    return kernel


define("coalesce, ifnull, nvl", [several(ANY)], same, plain("coalesce"), "The first that is not null.", alike=True)
define("nullif", [ANY, ANY], same, _nullif, "Null where both are equal, else the first.", alike=True)
define(
    "greatest",
    [several(ANY)],
    same,
    _extreme("max_element_wise", nan_wins=True),
    "The largest; nulls are passed over, NaN is the largest.",
    alike=True,
)
define(
    "least",
    [several(ANY)],
    same,
    _extreme("min_element_wise", nan_wins=False),
    "The smallest; nulls are passed over.",
    alike=True,
)
