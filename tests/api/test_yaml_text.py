"""YAML that this project writes says the same to its own reader, which is kubectl's, and to PyYAML's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shuffle_operator.api.document import read
from shuffle_operator.api.yaml_text import yaml_text

TEXTS = [
    "y", "n", "on", "NO", "~", "null", "", "1", "1_000", "0o17", "0x1F", "1e3", ".5", "1.", ".inf", ".nan", "1:30",
    "2026-01-01", "a: b", "#x", "a #b", "- a", "-", "?", "!x", "%x", "@x", "`x", "{a}", "[a", "&a", "*a", "<<", "=",
    " lead", "trail ", "a\nb", "a\tb", "'", '"', "\\", "\u202e", "\x85", "\u2028", "\x7f", "é", "\U0001f600", "x" * 500,
    "a b " * 60,
]  # fmt: skip


def assert_same(value: dict[str, Any]) -> None:
    text = yaml_text(value)
    document = read(text)
    assert (document.value, document.problems) == (value, [])
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_stays_a_text(text: str) -> None:
    assert_same({"a": text, text: [text, {"b": text}]})


SCALARS = st.text(max_size=20) | st.integers(-(2**60), 2**60) | st.booleans() | st.floats(allow_nan=False)


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6))
)
def test_any_value_comes_back(value: dict[str, Any]) -> None:
    if all(character < "\ud800" or character > "\udfff" for character in str(value)):
        assert_same(value)
