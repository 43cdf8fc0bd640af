"""The one table of functions: what each is called, takes and gives, and the kernel that works it out.

A module here for each kind of function has a `Section` and calls its `define`; `sql_types.py` looks calls up, and
docs/expressions.md lists them. A kernel is given arrays of equal length for the arguments that vary, and plain values
(str, int) for those that the definition says are constant. It may be given no rows. It raises ArrowInvalid or
ValueError where a value has no result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from shuffle_protocol.units import counted
from shuffle_worker.columns.arrow import Array, Values, call
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.coercion import is_text
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.rows import arrays
from shuffle_worker.expressions.typed.written import Number, Text, folded, is_null, taken_as, together

Kernel = Callable[..., Array]
Build = Callable[[Sequence[Expression], Sequence[str]], Expression]
Given = Sequence[Any]
"""The types of arguments that vary, the values of those that are constant."""


class Kind(NamedTuple):
    """Which types an argument may have."""

    name: str
    accepts: Callable[[pa.DataType], bool]
    literal: pa.DataType
    """The type of NULL, and of text where it is read as something else."""
    short: str = ""
    """Its name where a function is written down."""

    @property
    def one(self) -> str:
        """In a sentence: text, a number, an interval."""
        article = "" if self.name.startswith("text") else "an " if self.name[0] in "aeiou" else "a "
        return article + self.name


class Parameter(NamedTuple):
    kind: Kind
    optional: bool = False
    several: bool = False
    """This one and any number of others."""
    read: Callable[[Expression], object] | None = None
    """Of a constant: its value. Raises NotThatType."""
    name: str = ""
    """In the docs; the kind's where it is empty."""


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def _is_temporal(kind: pa.DataType) -> bool:
    return _is_moment(kind) or pa.types.is_time(kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return is_text(kind) or types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


ANY = Kind("any", lambda _: True, pa.null(), "x")
TEXT = Kind("text", is_text, pa.string())
BYTES = Kind("text or bytes", _is_bytes, pa.string(), "text")
NUMBER = Kind("number", is_number, pa.int64())
WHOLE = Kind("whole number", pa.types.is_integer, pa.int64(), "count")
FLOAT = Kind("double or float", pa.types.is_floating, pa.float64(), "number")
MOMENT = Kind("date or timestamp", _is_moment, pa.timestamp("us"), "x")
TEMPORAL = Kind("date, time or timestamp", _is_temporal, pa.timestamp("us"), "x")
INTERVAL = Kind("interval", pa.types.is_interval, pa.month_day_nano_interval())
LIST = Kind("list", _is_list, pa.list_(pa.null()))
STRUCT = Kind("struct", pa.types.is_struct, pa.struct([]))
TEXT_OR_LIST = Kind("text or list", lambda kind: is_text(kind) or _is_list(kind), pa.string(), "x")


def optional(argument: Parameter | Kind) -> Parameter:
    return _argument(argument)._replace(optional=True)


def several(kind: Kind) -> Parameter:
    return Parameter(kind, several=True)


def named(name: str, kind: Kind) -> Parameter:
    return Parameter(kind, name=name)


def text_constant(name: str, check: Callable[[str], object] = str) -> Parameter:
    """Text in single quotes. check: raises ArrowInvalid or ValueError where it cannot be used."""

    def read(one: Expression) -> str:
        if not isinstance(one, Text):
            raise NotThatType(f"{name} is text in single quotes, the same for every row")
        try:
            check(one.text)
        except (pa.ArrowException, ValueError) as error:
            raise NotThatType(f"'{one.text}' is no {name}: {error}") from None
        return one.text

    return Parameter(TEXT, read=read, name=name)


def number_constant(name: str, least: int, most: int) -> Parameter:
    def read(one: Expression) -> int:
        if not isinstance(one, Constant) or not pa.types.is_integer(one.type) or not one.value.is_valid:
            raise NotThatType(f"{name} is a whole number, the same for every row")
        found = int(one.value.as_py())
        if not least <= found <= most:
            raise NotThatType(f"{name} is a number from {least} to {most}, not {found}")
        return found

    return Parameter(WHOLE, read=read, name=name)


def one_of(name: str, words: Sequence[str]) -> Parameter:
    def read(one: Expression) -> str:
        found = one.text.lower() if isinstance(one, Text) else ""
        if found not in words:
            told = f"'{one.text}' is no {name}" if isinstance(one, Text) else f"{name} is text in single quotes"
            raise NotThatType(f"{told}; there are {', '.join(words)}")
        return found

    return Parameter(TEXT, read=read, name=name)


def _argument(one: Parameter | Kind) -> Parameter:
    return one if isinstance(one, Parameter) else Parameter(one)


class Function(NamedTuple):
    names: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    result: Typed
    kernel: Kernel
    says: str
    alike: bool = False
    """The arguments that vary are brought to one type."""
    rising: Callable[[Given], bool] | bool = False
    """See `Call`."""
    build: Build | None = None
    """Instead of a kernel: what makes the call of expressions."""
    section: str = ""
    """The heading that it has on the page."""

    @property
    def signature(self) -> str:
        told = ""
        for at, one in enumerate(self.arguments):
            name = (one.name or one.kind.short or one.kind.name) + (", ..." if one.several else "")
            comma = ", " if at else ""
            told += f"[{comma}{name}]" if one.optional else comma + name
        return f"{self.names[0]}({told})"


FUNCTIONS: dict[str, Function] = {}
"""By each of their names."""


class Typed(NamedTuple):
    """A result's type that depends on those of the arguments."""

    of: Callable[[Given], pa.DataType]
    """Raises NotThatType where there is none."""
    said: str = "as given"
    """For the docs."""


Result = pa.DataType | Typed


def _first(given: Given) -> pa.DataType:
    return next(one for one in given if isinstance(one, pa.DataType))


same = Typed(_first)
"""The type of the first argument that varies."""


class Section:
    """The functions of one kind. heading: as the page has it."""

    def __init__(self, heading: str) -> None:
        self._heading = heading

    def define(
        self,
        names: str,
        arguments: Sequence[Parameter | Kind],
        result: Result,
        kernel: Kernel,
        says: str,
        **how: Any,
    ) -> None:
        """names: with commas between; any but the first are only there for people who are used to them. how: `alike`,
        `rising` of `Function`."""
        typed = result if isinstance(result, Typed) else Typed(lambda _: result, str(result))
        self._enter(Function(tuple(names.split(", ")), _arguments(arguments), typed, kernel, says, **how))

    def define_built(
        self, names: str, arguments: Sequence[Parameter | Kind], build: Build, says: str, gives: str = "as given"
    ) -> None:
        """A function that is short for operators, and goes by their types. gives: the type, in words."""
        typed = Typed(_first, gives)
        every = _arguments(arguments)
        self._enter(Function(tuple(names.split(", ")), every, typed, plain(""), says, build=build))

    def _enter(self, function: Function) -> None:
        function = function._replace(section=self._heading)
        for name in function.names:
            if name in FUNCTIONS:
                raise ValueError(f"there are two functions called {name}")
            FUNCTIONS[name] = function


def _arguments(several: Sequence[Parameter | Kind]) -> tuple[Parameter, ...]:
    return tuple(_argument(one) for one in several)


def plain(function: str, **options: object) -> Kernel:
    """A kernel that is one function of Arrow's."""
    return lambda *values: call(function, *values, **options)


def called(name: str, given: Sequence[Expression], words: Sequence[str]) -> Expression:
    """A call of a function. words: the arguments as they were written. Raises NotThatType."""
    function = FUNCTIONS[name]
    shown = name.upper()
    places = _places(function, len(given), shown)
    if function.build is not None:
        return function.build(given, words)
    types: list[Any] = []
    varying: list[Expression] = []
    for argument, one, text in zip(places, given, words, strict=True):
        if argument.read is not None:
            try:
                types.append(argument.read(one))
            except NotThatType as error:
                raise NotThatType(f"{shown}: {error}") from None
            continue
        taken = _taken(argument.kind, one)
        if taken is None:
            raise NotThatType(f"{shown} needs {argument.kind.one}, {text} is {one.type}")
        types.append(taken.type)
        varying.append(taken)
    if function.alike:
        kind, varying = _alike(varying, shown)
        types = [kind if isinstance(one, pa.DataType) else one for one in types]
    return folded(_call(function, types, varying))


def _call(function: Function, types: list[Any], varying: list[Expression]) -> Call:
    def work(*values: Values) -> Values:
        rows = iter(arrays(*values))
        return function.kernel(*(next(rows) if isinstance(one, pa.DataType) else one for one in types))

    rising = function.rising(types) if callable(function.rising) else function.rising
    return Call(function.result.of(types), work, *varying, rising=rising)


def _alike(several: list[Expression], shown: str) -> tuple[pa.DataType, list[Expression]]:
    try:
        return together(several)
    except NotThatType as error:
        raise NotThatType(f"{shown}: {error}") from None


def _places(function: Function, count: int, shown: str) -> list[Parameter]:
    """The argument that each of so many is."""
    every = list(function.arguments)
    if every and every[-1].several:
        every += [every[-1]] * (count - len(every))
    least = sum(not one.optional for one in every if not one.several) + sum(one.several for one in function.arguments)
    if not least <= count <= len(every):
        raise NotThatType(f"{shown} is written {function.signature}, and is given {counted(count, 'argument')}")
    return every[:count]


def _taken(kind: Kind, one: Expression) -> Expression | None:
    """One as an argument of a kind, None where it is of none of its types."""
    if kind is ANY:
        return one
    if is_null(one):
        return taken_as(one, kind.literal)
    if isinstance(one, Text) and not kind.accepts(one.type):
        if not pa.types.is_temporal(kind.literal):
            return None
        return taken_as(one, kind.literal)
    if not kind.accepts(one.type):
        return None
    if pa.types.is_date64(one.type):
        return taken_as(one, pa.date32())
    return one if isinstance(one, Text | Number) or not isinstance(one, Constant) else Constant(one.value)
