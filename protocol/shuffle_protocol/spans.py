"""Spans of time as people write them: `5m`, `1h30m`, `250ms`. The operator checks them, workers count with them."""

from __future__ import annotations

import re

UNITS = {
    "w": 7 * 86_400 * 10**9,
    "d": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
"""Nanoseconds of each; m is a minute."""

PATTERN = r"^([0-9]{1,18}(ns|us|ms|s|m|h|d|w))+$"
_PART = re.compile(r"([0-9]+)(ns|us|ms|[smhdw])")


def parse_span(text: str) -> int | None:
    """Nanoseconds; None where the text is no span."""
    if not re.fullmatch(PATTERN[1:-1], text):
        return None
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))
