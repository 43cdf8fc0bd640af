"""Spans of time as people write them."""

from __future__ import annotations

import pytest

from shuffle_protocol.spans import parse_span


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0s", 0),
        ("7ns", 7),
        ("5us", 5_000),
        ("250ms", 250_000_000),
        ("2s", 2_000_000_000),
        ("5m", 300_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1d", 86_400_000_000_000),
        ("2w1d", 15 * 86_400_000_000_000),
        ("1m1ms1m", 120_001_000_000),
    ],
)
def test_a_span(text: str, nanoseconds: int) -> None:
    assert parse_span(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "5min", "5m\n", "٥m", "5m3", "9" * 19 + "s"]
)
def test_what_is_none(text: str) -> None:
    assert parse_span(text) is None
