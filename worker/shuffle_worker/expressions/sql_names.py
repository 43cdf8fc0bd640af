"""What there is in a filter, by its names: operators and functions, and the types of CAST. Used by `sql_types.py`."""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from shuffle_worker.expressions.literals import NotThatType

SUPPORTED = "= != < <= > >= AND OR NOT IN BETWEEN IS NULL LIKE ILIKE + - * / % CAST UPPER LOWER LENGTH ABS"
"""For messages; docs/filters.md says what they do."""

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


def called(node: exp.Expression) -> str:
    """A part of a filter by the name that its writer knows."""
    if isinstance(node, exp.Anonymous):
        return str(node.name)
    if isinstance(node, exp.Case):
        return "CASE"
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
