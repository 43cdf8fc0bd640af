"""Times as text in a format of one's own, and back. The codes are those of C's strftime that mean the same
everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from shuffle_worker.columns.arrow import NANOS, Array, call, scalar, timestamp
from shuffle_worker.expressions.functions.registry import MOMENT, TEXT, Section, text_constant
from shuffle_worker.expressions.typed.clock import local, numbers_of, rebuilt, unit_of

FORMATS = Section("Times as text")
define = FORMATS.define

WRITTEN = {
    "Y": "year",
    "y": "its last two digits",
    "m": "month",
    "d": "day",
    "j": "day of the year",
    "H": "hour",
    "I": "hour of 12",
    "M": "minute",
    "S": "second",
    "f": "microseconds",
    "g": "milliseconds",
    "p": "AM or PM",
    "a": "Mon",
    "A": "Monday",
    "b": "Jan",
    "B": "January",
    "u": "day of the week from Monday, 1",
    "w": "day of the week from Sunday, 0",
    "V": "ISO week",
    "G": "its year",
    "%": "a percent sign",
}
"""The codes of strftime."""

READ = {code: WRITTEN[code] for code in "YmdHMSyjbBIp%f"}
"""Those of strptime."""

_CODE = re.compile(r"%(.?)", re.DOTALL)
_FRACTION = re.compile(r"%[fg]")


def _checked(codes: dict[str, str]) -> Callable[[str], object]:
    def check(text: str) -> None:
        for code in _CODE.findall(text):
            if code not in codes:
                raise ValueError(f"%{code} is none of its codes, which are {' '.join('%' + one for one in codes)}")

    return check


def _written(column: Array, form: str) -> Array:
    shown = local(column.cast(pa.timestamp("s")) if pa.types.is_date(column.type) else column)
    size = NANOS["s"] // NANOS[unit_of(shown.type)]
    numbers = numbers_of(shown)
    seconds = rebuilt(numbers // size, shown, pa.timestamp("s"))
    micros = (numbers % size) * (1_000_000 // size) if size <= 1_000_000 else (numbers % size) // (size // 1_000_000)
    pieces: list[Array] = []
    at = 0
    for found in [*_FRACTION.finditer(form), None]:
        plain = form[at : found.start() if found else len(form)]
        if plain:
            pieces.append(call("strftime", seconds, format=plain))
        if found:
            digits, per = (6, 1) if found[0] == "%f" else (3, 1000)
            pieces.append(_digits(rebuilt(micros // per, shown, pa.int64()), digits))
            at = found.end()
    if not pieces:
        return call("if_else", call("is_valid", column), scalar(""), scalar(None, pa.string()))  # type: ignore[no-any-return]
    return pieces[0] if len(pieces) == 1 else call("binary_join_element_wise", *pieces, scalar(""))


def _digits(numbers: Array, width: int) -> Array:
    return call("utf8_lpad", numbers.cast(pa.string()), width=width, padding="0")  # type: ignore[no-any-return]


def _read(text: Array, form: str, bad_is_null: bool = False) -> Array:
    kind = timestamp("us")
    micros: Array | None = None
    if "%f" in form.replace("%%", ""):
        form, text, micros = _without_fraction(form, text)
    found = call("strptime", text, format=form, unit="us", error_is_null=bad_is_null)
    if micros is not None:
        found = call("add", found.cast(pa.int64()), micros).cast(kind)
    return found  # type: ignore[no-any-return]


def _without_fraction(form: str, text: Array) -> tuple[str, Array, Array]:
    """A format whose last code is %f, and the text, without it; the microseconds that it says."""
    head, _, tail = form.rpartition("%f")
    pattern = r"^(?P<head>.*?)(?P<digits>\d{1,6})" + re.escape(tail) + "$"
    parts = call("extract_regex", text, pattern=pattern)
    digits = call("utf8_rpad", call("struct_field", parts, "digits"), width=6, padding="0")
    whole = call("struct_field", parts, "head")
    # what has no such end stays as it is, to be refused by strptime
    return head, call("coalesce", whole, text), call("cast", digits, pa.int64())


define(
    "strftime",
    [MOMENT, text_constant("format", _checked(WRITTEN))],
    pa.string(),
    _written,
    "As text in this format, such as `'%Y-%m-%d %H:%M'`.",
)
define(
    "strptime",
    [TEXT, text_constant("format", _checked(READ))],
    timestamp("us"),
    _read,
    "A timestamp of text in this format; the job fails where it is in another.",
)
define(
    "try_strptime",
    [TEXT, text_constant("format", _checked(READ))],
    timestamp("us"),
    lambda text, form: _read(text, form, bad_is_null=True),
    "The same, and null where it is in another.",
)
define(
    "dayname", [MOMENT], pa.string(), lambda column: _written(column, "%A"), "The English name of its day of the week."
)
define("monthname", [MOMENT], pa.string(), lambda column: _written(column, "%B"), "The English name of its month.")
