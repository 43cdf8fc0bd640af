"""Addresses, and texts with addresses in them, as pages may show them."""

from __future__ import annotations

import re

_USER = re.compile(r"([A-Za-z0-9]*)://([^/?#\s]*)@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*?([:;,.)\]'\"]*)(?=\s|$)")

CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
"""Schemes of Azure, in whose addresses a container stands before the @, and no user."""

LONGEST = 1000


def shown(path: str) -> str:
    """A path without what a URL may hide: a user with a password, and a query, where signatures are. At most `LONGEST`
    letters."""
    if "://" in path:
        before, mark, _ = path.partition("?")
        path = _USER.sub(_without_user, before) + ("?..." if mark else "")
    return path if len(path) <= LONGEST else path[: LONGEST - 3] + "..."


def said(text: str) -> str:
    """The same of each address in a text for people, such as what a store's error says."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1?...\2", _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in CONTAINERS else f"{found[1]}://"
