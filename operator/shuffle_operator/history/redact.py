"""Addresses as pages may show them."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s]*")

LONGEST = 1000


def shown(path: str) -> str:
    """A path without what a URL may hide: a user with a password, and a query, where signatures are. At most `LONGEST`
    letters."""
    if "://" in path:
        path = _QUERY.sub("?...", _USER.sub("", path))
    return path if len(path) <= LONGEST else path[: LONGEST - 3] + "..."
