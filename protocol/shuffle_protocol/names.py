"""Names of columns: as a user gives them, against those that there are; and each of them once."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.units import some

SHOWN = 20
"""Columns that an error lists."""


def check_column(name: str, names: Sequence[str], where: str, what: str = "the input") -> None:
    """Raises InvalidSpec with the nearest name where there is no such column."""
    if name in names:
        return
    folded = {known.lower(): known for known in names}
    near = folded.get(name.lower())
    if near is None:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        near = close[0] if close else None
    hint = f"did you mean {near!r}?" if near is not None else f"its columns are {some(names, SHOWN)}"
    raise InvalidSpec(f"{where}: {what} has no column {name!r}; {hint}")


def first_twice(names: Sequence[str]) -> str | None:
    """The first name that is there more than once."""
    if len(set(names)) == len(names):
        return None
    return next(name for name, count in Counter(names).items() if count > 1)


def check_once(names: Sequence[str], file: str) -> None:
    """Raises DataError where two columns of a file have one name."""
    twice = first_twice(names)
    if twice is not None:
        raise DataError(f"{file}: two columns are called {twice!r}; rename one of them")
