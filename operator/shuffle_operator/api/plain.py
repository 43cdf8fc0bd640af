"""Plain data that may have any shape: what has not the expected type counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def texts(value: object) -> list[str]:
    """The strings of a list, or nothing."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def objects(value: object) -> list[Object]:
    """The mappings of a list, or nothing."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def mapping(value: object) -> Object:
    return value if isinstance(value, Mapping) else {}


def given(node: Object, *names: str) -> int:
    """How many of these fields it has."""
    return sum(name in node for name in names)
