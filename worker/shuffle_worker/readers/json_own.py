"""Lines of JSON taken apart by hand, to find what Arrow's parser does not give: the text of a value as it stands there.

Slow beside Arrow, so it is asked for single lines, and for blocks only where a column that is declared as text holds
something else. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import children, parts

BLANKS = " \t\r\n"

_decoder = json.JSONDecoder()

Path = tuple[str, ...]
"""The names that lead to a value, `[]` for the items of a list."""

ITEMS = "[]"


MOST_DEEP = 60
"""Levels of lists and objects in each other, a few less than Arrow sends; its parser, which recurses, takes more, until
its stack ends."""

_IN_QUOTES = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")


def too_deep(block: bytes) -> int | None:
    """Where the first line begins that is nested deeper than `MOST_DEEP`."""
    raw = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(raw == ord("\n"))
    opened = np.count_nonzero(raw == ord("{")) + np.count_nonzero(raw == ord("["))
    if opened - len(breaks) <= MOST_DEEP:
        return None
    begins = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(block)]])
    for at in np.flatnonzero(ends - begins > 2 * MOST_DEEP):
        if _deep(block[begins[at] : ends[at]]):
            return int(begins[at])
    return None


def _deep(line: bytes) -> bool:
    if line.count(b"{") + line.count(b"[") <= MOST_DEEP:
        return False
    level = 0
    for bracket in _BRACKETS.findall(_IN_QUOTES.sub(b"", line)):
        level += 1 if bracket in b"[{" else -1
        if level > MOST_DEEP:
            return True
    return False


class JsonNumber(str):
    """A number as it is written."""


class JsonValueText(NamedTuple):
    """The text of a value, and where it ends in the line."""

    text: str
    end: int


def numbers(line: str) -> Iterator[tuple[Path, str]]:
    """Every number of a line and the path to it."""
    found = json.loads(line, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=JsonNumber)
    yield from _numbers(found, ())


def too_large(number: str) -> bool:
    """Whether a number is infinite as a double, though its text is finite."""
    return math.isinf(float(number)) and number.strip("-").isalpha() is False


def numbers_at(block: bytes, paths: Collection[Path]) -> dict[Path, list[str]]:
    """All numbers of a block's lines at some paths."""
    found: dict[Path, list[str]] = {path: [] for path in paths}
    for line in block.decode().split("\n"):
        for path, text in numbers(line) if line.strip() else []:
            if path in found:
                found[path].append(text)
    return found


def _numbers(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, JsonNumber):
        yield path, str(value)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _numbers(one, (*path, name))
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one, (*path, ITEMS))


def members(line: str) -> dict[str, str]:
    """The values of an object, each as it is written. Raises ValueError."""
    return {name: line[begin:end] for name, begin, end in _members(line, _past_blanks(line, 0))}


def own_texts(block: bytes, schema: pa.Schema) -> bytes:
    """The same lines, in which what stands where the schema has text is text: numbers, true and false in quotes, lists
    and objects as their JSON. Lines that are not one whole object of JSON stay as they are, for Arrow to refuse."""
    kinds = {field.name: field.type for field in schema}
    return b"\n".join(_own_line(line, kinds) for line in block.split(b"\n"))


def _own_line(line: bytes, kinds: dict[str, pa.DataType]) -> bytes:
    try:
        text = line.decode()
        json.loads(text)  # what follows looks for values, and takes on trust what stands between and behind them
        begin = _past_blanks(text, 0)
        return _object(text, begin, kinds).text.encode() if text[begin : begin + 1] == "{" else line
    except (ValueError, IndexError):
        return line


def _value(text: str, at: int, kind: pa.DataType | None) -> JsonValueText:
    """The value that begins here, as it is to stand in a column of that type (None: of any)."""
    types, first = pa.types, text[at]
    if kind is not None and types.is_struct(kind) and first == "{":
        return _object(text, at, {field.name: field.type for field in children(kind)})
    if kind is not None and types.is_list(kind) and first == "[":
        return _list(text, at, parts(kind).value_type)
    _, end = _decoder.raw_decode(text, at)
    own = text[at:end]
    if kind is None or not (types.is_string(kind) or types.is_large_string(kind)) or first == '"' or own == "null":
        return JsonValueText(own, end)
    return JsonValueText(json.dumps(own, ensure_ascii=False), end)


def _object(text: str, at: int, kinds: dict[str, pa.DataType]) -> JsonValueText:
    found = list(_members(text, at))
    out = [
        f"{json.dumps(name, ensure_ascii=False)}:{_value(text, begin, kinds.get(name)).text}"
        for name, begin, _ in found
    ]
    return JsonValueText("{" + ",".join(out) + "}", _past_blanks(text, found[-1][2] if found else at + 1) + 1)


def _list(text: str, at: int, kind: pa.DataType) -> JsonValueText:
    out: list[str] = []
    at = _past_blanks(text, at + 1)
    while text[at] != "]":
        piece = _value(text, at, kind)
        out.append(piece.text)
        at = _past_blanks(text, piece.end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)
    return JsonValueText("[" + ",".join(out) + "]", at + 1)


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """The members of the object that begins here: the name, where its value begins and where it ends."""
    at = _past_blanks(text, at + 1)
    while text[at] != "}":
        if text[at] != '"':
            raise ValueError(f"a name is missing at character {at}")
        name, at = scanstring(text, at + 1, True)
        at = _past_blanks(text, _past_blanks(text, at) + 1)
        _, end = _decoder.raw_decode(text, at)
        yield name, at, end
        at = _past_blanks(text, end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)


def _past_blanks(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in BLANKS:
        at += 1
    return at
