"""Functions of numbers."""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, call, parts, scalar
from shuffle_worker.expressions.functions.registry import (
    FLOAT,
    NUMBER,
    Given,
    Kernel,
    Section,
    Typed,
    number_constant,
    optional,
    plain,
    same,
)
from shuffle_worker.expressions.typed.arithmetic import arithmetic
from shuffle_worker.expressions.typed.coercion import decimal_of

NUMBERS = Section("Numbers")
define, define_built = NUMBERS.define, NUMBERS.define_built

AWAY_FROM_ZERO = "half_towards_infinity"
MOST_DIGITS = 308
"""Of a double, before its point or behind it."""


def _rounded(values: Array, digits: int = 0) -> Array:
    """Half away from zero."""
    if pa.types.is_integer(values.type) and digits >= 0:
        return values
    if pa.types.is_floating(values.type) and abs(digits) > MOST_DIGITS:
        return values if digits > 0 else call("multiply", values, scalar(0.0, values.type))
    return call("round", _roomy(values), ndigits=digits, round_mode=AWAY_FROM_ZERO)  # type: ignore[no-any-return]


def _roomy(values: Array) -> Array:
    """With a digit more: Arrow does not see that 9.9 rounds to 10, and gives 0."""
    if not pa.types.is_decimal(values.type):
        return values
    kind = parts(values.type)
    return values.cast(decimal_of(kind.precision + 1, kind.scale))


def _rounded_type(given: Given) -> pa.DataType:
    """Of a decimal: with the digits that are left behind the point, and one more before it."""
    kind, digits = given if len(given) == 2 else (given[0], 0)
    if not pa.types.is_decimal(kind):
        return kind  # type: ignore[no-any-return]
    scale = max(min(digits, parts(kind).scale), 0)
    return decimal_of(parts(kind).precision - parts(kind).scale + scale + 1, scale)


def _whole(function: str) -> Kernel:
    """floor, ceil, trunc, in the type of the number."""

    def kernel(values: Array) -> Array:
        return values if pa.types.is_integer(values.type) else call(function, _roomy(values))

    return kernel


def _sign(values: Array) -> Array:
    found = call("sign", values)
    if pa.types.is_floating(values.type):
        found = call("if_else", call("is_nan", values), scalar(0.0, values.type), found)
    return call("cast", found, pa.int8())  # type: ignore[no-any-return]


def _of_double(function: str) -> Kernel:
    """A function of doubles, whatever the number is; what has no result is NaN or infinite, as everywhere with them."""

    def kernel(*values: Array) -> Array:
        doubles = (call("cast", one, pa.float64(), safe=False) for one in values)
        return call(function, *doubles)  # type: ignore[no-any-return]

    return kernel


DIGITS = number_constant("digits", -400, 400)

define(
    "round",
    [NUMBER, optional(DIGITS)],
    Typed(_rounded_type),
    _rounded,
    "To a whole number, or so many digits behind the point; halves away from zero. Negative digits round to tens.",
    rising=True,
)
define("floor", [NUMBER], Typed(_rounded_type), _whole("floor"), "The next smaller whole number.", rising=True)
define("ceil, ceiling", [NUMBER], Typed(_rounded_type), _whole("ceil"), "The next larger whole number.", rising=True)
define("trunc", [NUMBER], Typed(_rounded_type), _whole("trunc"), "Without what is behind the point.", rising=True)
define("abs", [NUMBER], same, plain("abs_checked"), "Without its sign.")
define("sign", [NUMBER], pa.int8(), _sign, "-1, 0 or 1; 0 of NaN.")
define("power, pow", [NUMBER, NUMBER], pa.float64(), _of_double("power"), "The first to the power of the second.")
define("sqrt", [NUMBER], pa.float64(), _of_double("sqrt"), "The square root; NaN of what is negative.")
define("exp", [NUMBER], pa.float64(), _of_double("exp"), "e to this power.")
define("ln", [NUMBER], pa.float64(), _of_double("ln"), "The natural logarithm; NaN of what is negative.")
define("log10, log", [NUMBER], pa.float64(), _of_double("log10"), "The logarithm to the base 10.")
define("log2", [NUMBER], pa.float64(), _of_double("log2"), "The logarithm to the base 2.")
define("isnan, is_nan", [FLOAT], pa.bool_(), plain("is_nan"), "Whether it is NaN.")
define_built(
    "mod",
    [NUMBER, NUMBER],
    lambda given, words: arithmetic("%", given[0], given[1], (words[0], words[1])),
    "The same as `%`: the rest of a division, with the sign of the first; null where the second is zero.",
    gives="as given",
)
