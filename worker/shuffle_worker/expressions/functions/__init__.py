"""The functions of expressions: a module for each kind, one table of all (`registry.py`), which each of them fills.

A function is added in one place: a call of `define` in the module of its kind. The page docs/expressions.md is made of
the table.

    text.py      patterns.py (regular expressions)      numbers.py    choices.py (COALESCE, GREATEST, ...)
    times.py     formats.py (strftime, strptime)        nested.py     hashing.py
"""

from shuffle_worker.expressions.functions import (
    choices,
    formats,
    hashing,
    nested,
    numbers,
    patterns,
    text,
    times,
)
from shuffle_worker.expressions.functions.registry import FUNCTIONS, called

__all__ = [
    "FUNCTIONS",
    "called",
    "choices",
    "formats",
    "hashing",
    "nested",
    "numbers",
    "patterns",
    "text",
    "times",
]
