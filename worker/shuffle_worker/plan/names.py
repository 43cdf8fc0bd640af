"""A column's name, as a user gives it, against those that there are."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.units import some

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
