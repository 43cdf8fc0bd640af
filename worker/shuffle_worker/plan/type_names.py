"""Arrow types from their names: `int64`, `timestamp[us, tz=UTC]`, `list<item: struct<a: int8, b: string not null>>`.

What Arrow prints for a type is what can be written for it, and some names that people use (`str`, `float64`,
`decimal(10, 2)`, `list<string>`, `map<string, int64>`). Called wherever a job declares columns. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.arrow import Field, dictionary, duration, fixed_size_list, map_of, time_of_day, timestamp

PLAIN: dict[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "int": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "halffloat": pa.float16(),
    "float32": pa.float32(),
    "float": pa.float32(),
    "float64": pa.float64(),
    "double": pa.float64(),
    "string": pa.string(),
    "str": pa.string(),
    "utf8": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "bytes": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "date32": pa.date32(),
    "date32[day]": pa.date32(),
    "date": pa.date32(),
    "date64": pa.date64(),
    "date64[ms]": pa.date64(),
    "timestamp": pa.timestamp("us"),
}
EXAMPLES = "int64, double, string, date32, timestamp[us, tz=UTC], decimal128(10, 2), list<string>"
DECIMALS: dict[str, Callable[[int, int], pa.DataType]] = {
    "decimal": pa.decimal128,
    "decimal32": pa.decimal32,
    "decimal64": pa.decimal64,
    "decimal128": pa.decimal128,
    "decimal256": pa.decimal256,
}


def schema_of_names(columns: Iterable[tuple[str, str]], where: str) -> pa.Schema:
    """where: the field that declares them, for messages. Raises InvalidSpec."""
    fields: list[Field] = []
    for at, (name, text) in enumerate(columns):
        if any(field.name == name for field in fields):
            raise InvalidSpec(f"{where}[{at}].name: {name!r} is declared twice")
        fields.append(pa.field(name, parse_type(text, f"{where}[{at}].type")))
    return pa.schema(fields)


def parse_type(text: str, where: str) -> pa.DataType:
    """where: the field that says it, for messages. Raises InvalidSpec."""
    try:
        reader = _Reader(text)
        kind = reader.type()
        reader.end()
    except (_Wrong, ValueError, TypeError, pa.ArrowException) as error:
        detail = f" ({error})" if str(error) else ""
        near = difflib.get_close_matches(text.strip().lower(), list(PLAIN), n=1)
        hint = f"did you mean {near[0]}?" if near else f"write for example {EXAMPLES}"
        raise InvalidSpec(f"{where}: {text!r} is no Arrow type{detail}; {hint}") from None
    return kind


class _Wrong(Exception):
    pass


class _Reader:
    """Reads one type from the beginning of what is left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def type(self) -> pa.DataType:
        word = self._word()
        if word in ("list", "large_list", "fixed_size_list"):
            self._must("<")
            child = self._child("item")
            self._must(">")
            if word == "fixed_size_list" or self._take("["):
                if word == "fixed_size_list":
                    self._must("[")
                size = int(self._match(r"\d+"))
                self._must("]")
                return fixed_size_list(child, size)
            return pa.large_list(child) if word == "large_list" else pa.list_(child)
        if word == "struct":
            return pa.struct(self._fields())
        if word == "map":
            self._must("<")
            key = self.type()
            self._must(",")
            value = self._child("value")
            ordered = self._take(",") and bool(self._match("keys_sorted"))
            self._must(">")
            return map_of(pa.field("key", key, nullable=False), value.with_name("value"), ordered)
        if word == "dictionary":
            parts = self._match(r"<[^<>]*(?:<.*>)?[^<>]*>")[1:-1]
            found = dict(part.split("=", 1) for part in re.split(r",\s*(?=[a-z]+=)", parts))
            value_type = parse_type(found.get("values", "string"), "values")
            index = parse_type(found.get("indices", "int32"), "indices")
            return dictionary(index, value_type, found.get("ordered") == "1")
        if word in DECIMALS:
            self._must("(")
            precision = int(self._match(r"\d+"))
            scale = int(self._match(r"-?\d+")) if self._take(",") else 0
            self._must(")")
            return DECIMALS[word](precision, scale)
        return self._with_unit(word)

    def _with_unit(self, word: str) -> pa.DataType:
        if word in ("timestamp", "time32", "time64", "time", "duration") and self._take("["):
            unit = self._match("ns|us|ms|s")
            zone = None
            if word == "timestamp" and self._take(","):
                self._take("tz=")
                zone = self._match(r"[^\]\s]+")
            self._must("]")
            if word == "timestamp":
                return timestamp(unit, zone)
            return duration(unit) if word == "duration" else time_of_day(unit)
        if word in ("fixed_size_binary", "binary") and self._take("["):
            size = int(self._match(r"\d+"))
            self._must("]")
            return pa.binary(size)
        if word in ("date32", "date64") and self._take("["):
            self._match("day|ms")
            self._must("]")
        if word not in PLAIN:
            raise _Wrong("" if word == self._text.strip().lower() else f"{word!r} is none")
        return PLAIN[word]

    def end(self) -> None:
        if self._text[self._at :].strip():
            raise _Wrong(f"{self._text[self._at :].strip()!r} at its end")

    def _fields(self) -> list[Field]:
        self._must("<")
        fields: list[Field] = []
        while not self._take(">"):
            if fields:
                self._must(",")
            name = self._match(r"[^:<>]+").strip()
            self._must(":")
            fields.append(self._nullable(pa.field(name, self.type())))
        return fields

    def _child(self, name: str) -> Field:
        named = re.compile(r"\s*([^:<>,()\[\]]+?)\s*:").match(self._text, self._at)
        if named is not None:
            name, self._at = named.group(1), named.end()
        name = name.split(" (")[0]
        return self._nullable(pa.field(name, self.type()))

    def _nullable(self, field: Field) -> Field:
        return field.with_nullable(False) if self._take("not null") else field

    def _word(self) -> str:
        return self._match(r"[A-Za-z_][A-Za-z0-9_]*").lower()

    def _match(self, pattern: str) -> str:
        found = re.compile(rf"\s*({pattern})\s*").match(self._text, self._at)
        if found is None:
            raise _Wrong(f"at {self._text[self._at :][:20]!r}")
        self._at = found.end()
        return found.group(1)

    def _take(self, text: str) -> bool:
        found = re.compile(rf"\s*{re.escape(text)}\s*").match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found is not None

    def _must(self, text: str) -> None:
        if not self._take(text):
            raise _Wrong(f"{text!r} is missing at {self._text[self._at :][:20]!r}")
