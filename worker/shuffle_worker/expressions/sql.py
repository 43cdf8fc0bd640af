"""SQL text to a syntax tree, with errors that point at the place. The only module that knows the parser's dialect.

Column names are as they stand (case matters), in double quotes or backticks where they are not plain words.
"""

from __future__ import annotations

from typing import ClassVar, cast

from sqlglot import exp, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError

from shuffle_protocol.errors import InvalidSpec


class _Filters(Dialect):
    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]


WHERE = "inputs[0].filter"


def parse(text: str) -> exp.Expression:
    """One boolean expression. Raises InvalidSpec."""
    if not text.strip():
        raise InvalidSpec(f"{WHERE}: is empty; write a condition such as amount > 0, or leave the field out")
    try:
        trees = _Filters().parse(text)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise wrong(text, _plain(str(first.get("description") or error)), _place(text, first)) from None
    except SqlglotError as error:
        quotes = text.count("'") % 2 == 1 or text.count('"') % 2 == 1 or text.count("`") % 2 == 1
        hint = "a quote is never closed" if quotes else _plain(str(error))
        raise wrong(text, hint, None) from None
    if trees == [None]:
        raise InvalidSpec(f"{WHERE}: {text}: is only a comment; write a condition such as amount > 0")
    if len(trees) != 1 or trees[0] is None:
        raise InvalidSpec(f"{WHERE}: {text}: is {len(trees)} statements; write one condition")
    tree = cast("exp.Expression", trees[0])
    if isinstance(tree, exp.Alias):
        extra = tree.args["alias"]
        raise wrong(text, f"does not belong here: {extra.name}", position(extra))
    if isinstance(tree, exp.Query | exp.Command | exp.DDL | exp.DML | exp.Drop):
        raise wrong(text, "is a statement; write only the condition, without SELECT and WHERE", 0)
    return tree


def column_names(tree: exp.Expression) -> list[str]:
    """In the order of the text."""
    found = sorted(tree.find_all(exp.Column), key=lambda node: position(node) or 0)
    return list(dict.fromkeys(node.name for node in found))


def position(node: exp.Expression) -> int | None:
    """Where in the text a node begins, where the parser has kept it."""
    for part in (node, *node.find_all(exp.Identifier)):
        start = part.meta.get("start")
        if isinstance(start, int):
            return start
    return None


def wrong(text: str, what: str, at: int | None) -> InvalidSpec:
    """The error for a filter, with a caret under the place."""
    message = f"{WHERE}: {what}"
    if at is None:
        return InvalidSpec(f"{message}: {text}")
    line_start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    line = text[line_start : line_end if line_end >= 0 else len(text)]
    column = at - line_start
    number = text.count("\n", 0, at) + 1
    where = f"line {number}, character {column + 1}" if "\n" in text else f"character {column + 1}"
    return InvalidSpec(f"{message} ({where}):\n  {line}\n  {' ' * column}^")


def _plain(description: str) -> str:
    """The parser's words without its class names."""
    text = " ".join(description.split())
    if text.startswith("Required keyword"):
        return "something is missing here: an operator needs a value on both sides"
    if text.startswith("Expecting"):
        return f"{text[len('Expecting ') :]} is missing here"
    if text.startswith("Invalid expression"):
        return "cannot be read from here on"
    return text.split(" Line ")[0].rstrip(".")


def _place(text: str, error: dict[str, object]) -> int | None:
    """The parser counts lines and columns from 1, the column being that of the last character of its word."""
    line, column = error.get("line"), error.get("col")
    if not isinstance(line, int) or not isinstance(column, int):
        return None
    start = sum(len(one) + 1 for one in text.split("\n")[: line - 1])
    word = str(error.get("highlight") or "")
    return max(min(start + column - max(len(word), 1), len(text)), 0)
