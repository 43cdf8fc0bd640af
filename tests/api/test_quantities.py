"""Quantities mean what Kubernetes means by them."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_operator.api.quantities import PATTERN, BadQuantity, format_bytes, parse, parse_bytes, parse_cpu


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512Mi", 512 << 20), ("1G", 10**9), ("2", 2), (2, 2), ("1.5Gi", 3 << 29), ("1e9", 10**9), ("1E", 10**18),
        ("1E3", 1000), ("500m", Decimal("0.5")), (".5Ki", 512), ("+1k", 1000), ("100u", Decimal("0.0001")),
        (0.5, Decimal("0.5")),
    ],
)  # fmt: skip
def test_known_quantities(text: str | int | float, number: Decimal | int) -> None:
    assert parse(text) == number


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("512MB", "did you mean 512M?"), ("4GiB", "did you mean 4Gi?"), ("10 gb", "did you mean 10G?"),
        ("1,000", "did you mean 1000?"), ("64kb", "did you mean 64k?"), ("2GI", "did you mean 2Gi?"),
        ("", ""), ("Mi", ""), ("lots", ""), ("1Mi2", ""), ("--1", ""), ("1e999", ""), ("٣Mi", ""), ("0x10", ""),
        ("9" * 50, ""),
        ("inf", ""), ("nan", ""),
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused_with_the_valid_forms(text: str, hint: str) -> None:
    with pytest.raises(BadQuantity, match="for example 512Mi") as caught:
        parse(text)
    assert hint in str(caught.value)


def test_a_boolean_is_no_quantity() -> None:
    with pytest.raises(BadQuantity):
        parse(True)


def test_bytes_outside_their_limits_are_refused() -> None:
    assert parse_bytes("256Mi", 256 << 20, 1 << 40) == 256 << 20
    for text in ("255Mi", "2Ti", "500m", "0", "-1Gi", "1e90"):
        with pytest.raises(BadQuantity, match="expected 256Mi to 1Ti"):
            parse_bytes(text, 256 << 20, 1 << 40)


def test_processors() -> None:
    assert (parse_cpu("500m"), parse_cpu("2"), parse_cpu(1.5)) == (0.5, 2.0, 1.5)
    for text in ("0", "2000", "1Gi", "-1"):
        with pytest.raises(BadQuantity):
            parse_cpu(text)


@given(st.integers(1, 1 << 60))
def test_bytes_survive_being_written(count: int) -> None:
    text = format_bytes(count)
    assert parse_bytes(text, 1, 1 << 60) == count
    assert re.search(PATTERN, text)


@given(st.text(alphabet="0123456789.+-eEkKMGTPimnu ", max_size=12))
def test_what_is_read_as_a_quantity_matches_the_crds_pattern(text: str) -> None:
    try:
        parse(text)
    except BadQuantity:
        return
    assert re.search(PATTERN, text)
