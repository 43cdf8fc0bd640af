"""Which version of the program this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


@cache
def version() -> str:
    """ "" where the program was not installed."""
    try:
        return installed("shuffle-operator")
    except PackageNotFoundError:
        return ""
