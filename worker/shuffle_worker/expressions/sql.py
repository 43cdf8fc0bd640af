"""SQL text to a syntax tree, with errors that point at the place. The only module that knows the parser's dialect.

Column names are as they stand (case matters), in double quotes or backticks where they are not plain words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

from sqlglot import TokenType, exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError

from shuffle_protocol.errors import InvalidSpec

_WITH_WORDS = ("CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM", "TRY_CAST")
"""Functions whose arguments have words between them: `CAST(x AS INT)`."""

FRAMES = ("ROWS", "RANGE", "GROUPS")
"""How a frame's ends are counted."""

_Parsers = dict[str, Callable[[parser.Parser], exp.Expression | None]]


class _Language(Dialect):
    """The parser knows no functions, so that `functions/` alone says which there are."""

    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            word: kind for word, kind in tokens.Tokenizer.KEYWORDS.items() if word != "SESSION"
        }

    class Parser(parser.Parser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[_Parsers] = {
            name: read for name, read in parser.Parser.FUNCTION_PARSERS.items() if name in _WITH_WORDS
        }

        def _parse_window(self, this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
            """A frame may follow OVER without parentheses, for the rows of a window and their order are said elsewhere:
            `sum(x) OVER ROWS BETWEEN 2 PRECEDING AND CURRENT ROW`."""
            this = self._parse_respect_or_ignore_nulls(this)
            if self._curr.token_type != TokenType.OVER or not self._at_frame():
                return super()._parse_window(this, alias)
            self._advance()
            kind = self._curr.text.upper()
            self._advance()
            self._match(TokenType.BETWEEN)
            start = self._parse_window_spec()
            end = self._parse_window_spec() if self._match(TokenType.AND) else {}
            spec = exp.WindowSpec(
                kind=kind,
                start=start["value"],
                start_side=start["side"],
                end=end.get("value"),
                end_side=end.get("side"),
            )
            return self.expression(exp.Window(this=this, spec=spec, over="OVER"))

        def _at_frame(self) -> bool:
            return self._next is not None and self._next.text.upper() in FRAMES


class Field(NamedTuple):
    """A field of the job that holds an expression: what errors call it, and what it is to be."""

    name: str
    needed: str = "condition"
    example: str = "amount > 0"
    whose: str = "the input"
    """What has the columns."""


FILTER = Field("inputs[0].filter")


def parse(text: str, field: Field = FILTER) -> exp.Expression:
    """One expression. Raises InvalidSpec."""
    what = f"write a {field.needed} such as {field.example}"
    if not text.strip():
        raise InvalidSpec(f"{field.name}: is empty; {what}, or leave the field out")
    try:
        trees = _Language().parse(text)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        said = _plain(str(first.get("description") or error))
        raise wrong(text, said, _place(text, first), field) from None
    except SqlglotError as error:
        quotes = text.count("'") % 2 == 1 or text.count('"') % 2 == 1 or text.count("`") % 2 == 1
        hint = "a quote is never closed" if quotes else _plain(str(error))
        raise wrong(text, hint, None, field) from None
    if trees == [None]:
        raise InvalidSpec(f"{field.name}: {text}: is only a comment; {what}")
    if len(trees) != 1 or trees[0] is None:
        raise InvalidSpec(f"{field.name}: {text}: is {len(trees)} statements; write one {field.needed}")
    tree = cast("exp.Expression", trees[0])
    if isinstance(tree, exp.Alias):
        extra = tree.args["alias"]
        raise wrong(text, f"does not belong here: {extra.name}", position(extra), field)
    if isinstance(tree, exp.Query | exp.Command | exp.DDL | exp.DML | exp.Drop):
        said = f"is a statement; write only the {field.needed}, without SELECT and WHERE"
        raise wrong(text, said, 0, field)
    return tree


def column_names(tree: exp.Expression) -> list[str]:
    """In the order of the text; of `a.b` it is `a`, whose part b is."""
    found = sorted(tree.find_all(exp.Column), key=lambda node: position(node) or 0)
    return list(dict.fromkeys(path_of(node)[0].name for node in found))


def path_of(node: exp.Column) -> list[exp.Identifier]:
    """The names of `a.b.c`, one after the other: of a column, and of fields inside it."""
    parts = [node.args.get(part) for part in ("catalog", "db", "table", "this")]
    return [part for part in parts if isinstance(part, exp.Identifier)]


def position(node: exp.Expression) -> int | None:
    """Where in the text a node begins, where the parser has kept it."""
    places = [part.meta.get("start") for part in node.walk()]
    return min((place for place in places if isinstance(place, int)), default=None)


def wrong(text: str, what: str, at: int | None, field: Field = FILTER) -> InvalidSpec:
    """The error for an expression, with a caret under the place."""
    message = f"{field.name}: {what}"
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
