"""The notation of types, without Arrow: `shuffle validate` reads it, and `type_names.py` makes Arrow types of it.

    read("list<item: struct<a: bigint, b: varchar not null>>") -> TypeName("list", ...)

What Arrow prints for a type is what can be written for it, and the words of other systems that mean the same
(`type_words.py`). Nesting is limited, so that hostile text costs nothing.
"""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shuffle_protocol.type_words import DIGITS, EXAMPLES, INSTEAD, PLAIN, SAME, SIZED, UNITS

DEEPEST = 32
_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?: (?:precision|varying|with|without|local|time|zone)\b)*", re.IGNORECASE)
_PANDAS = re.compile(r"\[(?:pyarrow|python|pyarrow_numpy)\]$", re.IGNORECASE)
_OFFSET = re.compile(r"[+-]\d{2}:?\d{2}")
_INT32_MAX = (1 << 31) - 1


class TypeField(NamedTuple):
    """A field below a nested type."""

    name: str
    kind: TypeName
    nullable: bool = True


class TypeName(NamedTuple):
    """A type as its name has it."""

    name: str
    """Arrow's."""
    sizes: tuple[int, ...] = ()
    """Precision and scale, or a length."""
    unit: str = ""
    zone: str = ""
    children: tuple[TypeField, ...] = ()
    """Of a map its key and its value; of a dictionary its index and its values."""
    flag: bool = False
    """`keys_sorted` of a map, `ordered` of a dictionary."""


class NoType(ValueError):
    """Text that is not a type. The message says why and what to write."""


def read(text: str) -> TypeName:
    """Raises NoType."""
    plain = _PANDAS.sub("", text.strip())
    reader = _Reader(plain)
    try:
        kind = reader.type()
        reader.end()
    except _Wrong as error:
        detail = f" ({error})" if str(error) else ""
        raise NoType(f"{_shown(text)} is no Arrow type{detail}; {_hint(reader.word, plain)}") from None
    return kind


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _hint(word: str, text: str) -> str:
    """What to write instead: of the word that was read last, which is where the mistake is."""
    inside = re.match(r"\w+\.(\w+)", text)  # pl.Int64, pa.string()
    folded = re.sub(r"type$", "", (inside[1] if inside else word or text).lower())
    if folded in INSTEAD:
        return f"write {INSTEAD[folded]}"
    if folded in SAME or folded in PLAIN:
        return f"did you mean {SAME.get(folded, folded)}?"
    near = difflib.get_close_matches(folded, [*PLAIN, *UNITS, *DIGITS, *SAME], n=1, cutoff=0.7)
    if near:
        found = SAME.get(near[0], near[0])
        return f"did you mean {INSTEAD.get(found, found)}?"
    return f"write for example {EXAMPLES}"


class _Wrong(Exception):
    pass


def _levels(kind: TypeName) -> int:
    return 1 + max((_levels(child.kind) for child in kind.children), default=0)


class _Reader:
    """Reads one type from the beginning of what is left. word: the last one that was read as a type's."""

    def __init__(self, text: str) -> None:
        self.word = ""
        self._text = text
        self._at = 0
        self._depth = 0

    def type(self) -> TypeName:
        self._depth += 1
        self._check_depth(1)
        kind = self._one()
        while self._take(r"\[\]"):  # int[], as PostgreSQL and DuckDB write lists
            self._check_depth(1 + _levels(kind))
            kind = TypeName("list", children=(TypeField("item", kind),))
        self._depth -= 1
        return kind

    def _check_depth(self, levels: int) -> None:
        """levels: of the type that is being read, itself included."""
        if self._depth - 1 + levels > DEEPEST:
            raise _Wrong(f"it is nested more than {DEEPEST} deep")

    def end(self) -> None:
        rest = self._text[self._at :].strip()
        if rest:
            raise _Wrong(f"{_shown(rest)} at its end")

    def _one(self) -> TypeName:
        word = self.word = re.sub(r"\s+", " ", self._match(_WORDS.pattern).lower())
        if word in ("list", "large_list", "fixed_size_list", "array") and self._ahead("<"):
            return self._list("list" if word == "array" else word)
        if word == "struct" and self._take("<"):
            return TypeName("struct", children=self._fields())
        if word == "map" and self._take("<"):
            return self._map()
        if word == "dictionary" and self._take("<"):
            return self._dictionary()
        if word in DIGITS or (word in ("decimal", "numeric", "dec") and self._ahead(r"\(")):
            return self._decimal(word)
        if word in ("fixed_size_binary", "binary") and self._take(r"\["):
            return TypeName("fixed_size_binary", sizes=(self._closed(r"\d+"),))
        return self._with_unit(word)

    def _with_unit(self, word: str) -> TypeName:
        family = {"datetime64": "timestamp", "timedelta64": "duration", "datetime": "timestamp"}.get(word, word)
        if (family in UNITS or family == "time") and self._take(r"\["):
            unit = self._match(r"ns|us|ms|s")
            family = f"time{32 if unit in ('s', 'ms') else 64}" if family == "time" else family
            if unit not in UNITS[family]:
                raise _Wrong(f"{family} has no unit {unit}")
            zone = self._zone() if family == "timestamp" and self._take(",") else ""
            self._must(r"\]")
            return TypeName(family, unit=unit, zone=zone)
        if word in SIZED and self._take(r"\("):
            self._match(r"\d+|max")
            self._must(r"\)")
        if word in ("date32", "date64") and self._take(r"\["):
            self._must("day" if word == "date32" else "ms")
            self._must(r"\]")
        if word in SAME:
            same = SAME[word]
            return TypeName(same) if same in PLAIN else read(same)
        if word not in PLAIN:
            raise _Wrong("" if word == self._text.lower() else f"{word!r} is none")
        return TypeName(word)

    def _zone(self) -> str:
        self._take("tz=")
        zone = self._match(r"[^\]\s]+")
        if not (_OFFSET.fullmatch(zone) or _is_zone(zone)):
            raise _Wrong(f"there is no time zone {_shown(zone)}; write one such as UTC, Europe/Berlin or +02:00")
        return zone

    def _decimal(self, word: str) -> TypeName:
        self._must(r"\(")
        precision = self._number(r"\d+")
        scale = self._number(r"-?\d+") if self._take(",") else 0
        self._must(r"\)")
        name = word if word in DIGITS else "decimal128" if precision <= DIGITS["decimal128"] else "decimal256"
        if not 1 <= precision <= DIGITS[name]:
            raise _Wrong(f"{name} has 1 to {DIGITS[name]} digits, not {precision}")
        if abs(scale) > DIGITS[name]:
            raise _Wrong(f"{name} has at most {DIGITS[name]} digits after the point, not {scale}")
        return TypeName(name, sizes=(precision, scale))

    def _list(self, word: str) -> TypeName:
        self._must("<")
        child = self._child("item")
        self._must(">")
        if word == "fixed_size_list" or (word == "list" and self._ahead(r"\[\d")):
            self._must(r"\[")
            return TypeName("fixed_size_list", sizes=(self._closed(r"\d+"),), children=(child,))
        return TypeName(word, children=(child,))

    def _map(self) -> TypeName:
        key = TypeField("key", self.type(), nullable=False)
        self._must(",")
        value = self._child("value")._replace(name="value")
        ordered = self._take(",") and bool(self._match("keys_sorted"))
        self._must(">")
        return TypeName("map", children=(key, value), flag=ordered)

    def _dictionary(self) -> TypeName:
        index, values, ordered = TypeName("int32"), TypeName("string"), False
        while not self._take(">"):
            name = self._match("values|indices|ordered")
            self._must("=")
            if name == "ordered":
                ordered = self._match("0|1") == "1"
            elif name == "values":
                values = self.type()
            else:
                index = self.type()
            self._take(",")
        if not re.fullmatch(r"u?int\d+", index.name):
            raise _Wrong(f"indices are whole numbers, not {index.name}")
        return TypeName("dictionary", children=(TypeField("indices", index), TypeField("values", values)), flag=ordered)

    def _fields(self) -> tuple[TypeField, ...]:
        fields: list[TypeField] = []
        while not self._take(">"):
            if fields:
                self._must(",")
            name = self._match(r"[^:<>]+?(?=\s*:)").strip()
            self._must(":")
            fields.append(self._nullable(name))
        return tuple(fields)

    def _child(self, name: str) -> TypeField:
        named = re.compile(r"\s*([^:<>,()\[\]]+?)\s*:").match(self._text, self._at)
        if named is not None:
            name, self._at = named.group(1), named.end()
        return self._nullable(name.split(" (")[0])

    def _nullable(self, name: str) -> TypeField:
        return TypeField(name, self.type(), not self._take("not null"))

    def _closed(self, pattern: str) -> int:
        size = self._number(pattern)
        self._must(r"\]")
        return size

    def _number(self, pattern: str) -> int:
        text = self._match(pattern)
        if len(text) > 10 or int(text) > _INT32_MAX:
            raise _Wrong(f"{_shown(text)} is too large")
        return int(text)

    def _match(self, pattern: str) -> str:
        found = re.compile(rf"\s*({pattern})\s*", re.IGNORECASE).match(self._text, self._at)
        if found is None:
            raise _Wrong(f"at {_shown(self._text[self._at :][:20])}" if self._text[self._at :] else "")
        self._at = found.end()
        return found.group(1)

    def _ahead(self, pattern: str) -> bool:
        return re.compile(rf"\s*{pattern}", re.IGNORECASE).match(self._text, self._at) is not None

    def _take(self, pattern: str) -> bool:
        found = re.compile(rf"\s*{pattern}\s*", re.IGNORECASE).match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found is not None

    def _must(self, pattern: str) -> None:
        if not self._take(pattern):
            missing = pattern.replace("\\", "")
            raise _Wrong(f"{missing!r} is missing at {_shown(self._text[self._at :][:20])}")


def _is_zone(name: str) -> bool:
    """True also where this machine has no zones at all: then it cannot be checked here."""
    return _has_zone(name) or not _has_zone("Europe/London")


def _has_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError):
        return False
    except Exception as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name raises others
        return not isinstance(error, KeyError)
    return True
