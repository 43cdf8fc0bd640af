"""What there is in an expression, by its names: operators, functions, the types of CAST. Used by `sql_types.py`."""

from __future__ import annotations

import difflib

import pyarrow as pa
from sqlglot import exp

from shuffle_worker.expressions.functions import FUNCTIONS
from shuffle_worker.expressions.typed.literals import NotThatType

SUPPORTED = "= != < <= > >= AND OR NOT IN BETWEEN IS NULL LIKE ILIKE + - * / % || CASE IF CAST INTERVAL, and functions"
"""For messages; docs/expressions.md says what they do."""

_IN_A_GROUP = ("sum", "count", "avg", "mean", "min", "max", "median", "any_value", "first", "last")
_IN_A_WINDOW = ("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "session")
_OF_A_FRAME = ("first_value", "last_value", "nth_value")
_CHANGING = ("now", "random", "current_timestamp", "today", "uuid", "gen_random_uuid")

CASTS: dict[str, pa.DataType] = {
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "TEXT": pa.string(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPNTZ": pa.timestamp("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "TIME": pa.time64("us"),
}
"""Types of CAST, by the parser's names."""


def near_function(name: str) -> str:
    """What to write in place of a function that there is not."""
    if name in _IN_A_GROUP:
        hint = {"min": "; for the smallest of several values use LEAST", "max": "; for the largest use GREATEST"}
        return f"an expression sees one row; aggregate with operation.groupBy{hint.get(name, '')}"
    if name in _IN_A_WINDOW or name in _OF_A_FRAME:
        return "an expression sees one row; operation.window computes columns of the rows around it"
    if name in _CHANGING:
        return "it gives another value each time, and a job gives the same output each time"
    near = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.7)
    known = ", ".join(sorted({one.names[0] for one in FUNCTIONS.values()}))
    return f"did you mean {near[0]}?" if near else f"there are {known}"


def name_of(node: exp.Expression) -> str:
    """A part of an expression by the name that its writer knows."""
    text = node.sql()
    return text.partition("(")[0] if isinstance(node, exp.Func) and "(" in text else text[:60]


def named_type(named: exp.DataType) -> pa.DataType:
    """What CAST calls a type. Raises NotThatType, saying what to write."""
    name = named.this.name if hasattr(named.this, "name") else str(named.this)
    if name == "DECIMAL":
        return _decimal(named)
    if name not in CASTS:
        raise NotThatType(f"CAST to {named.sql()} is not supported; there are {', '.join(CASTS)}, DECIMAL(p, s)")
    return CASTS[name]


def _decimal(named: exp.DataType) -> pa.DataType:
    written = [part.name for part in named.expressions]
    if len(written) > 2 or not all(size.isdecimal() and len(size) < 4 for size in written):
        raise NotThatType(f"{named.sql()} is no type; write DECIMAL(p, s), as in DECIMAL(10, 2)")
    precision, scale = (*map(int, written), 0)[:2] if written else (38, 10)
    if not 1 <= precision <= 76 or scale > precision:
        raise NotThatType(f"DECIMAL has 1 to 76 digits, of which some are behind the point, not {', '.join(written)}")
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
