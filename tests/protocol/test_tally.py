"""One number a split says whether every group received what was sent to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_protocol.tally import MASK, tally, weight

VECTORS = {
    0: 0x0220A8397B1DCDAF,
    1: 0x0E789E6AA1B965F5,
    2: 0x06C45D188009454F,
    41: 0x134F7096918175CF,
    99_999: 0x100E06354F82DEEF,
}


@pytest.mark.parametrize("group", VECTORS)
def test_weights_are_those_of_other_processes(group: int) -> None:
    assert weight(group) == VECTORS[group]


def test_weights_differ_and_are_odd() -> None:
    weights = [weight(group) for group in range(10_000)]
    assert len(set(weights)) == len(weights)
    assert all(one % 2 and one <= MASK for one in weights)


ROWS = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=30)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_tallies_add_up(splits: list[list[int]]) -> None:
    width = max(map(len, splits))
    received = [sum(split[group] for split in splits if group < len(split)) for group in range(width)]
    assert sum(tally(enumerate(split)) for split in splits) & MASK == tally(enumerate(received))


@given(ROWS, st.data())
def test_a_group_with_other_rows_shows(rows: list[int], data: st.DataObject) -> None:
    group = data.draw(st.integers(0, len(rows) - 1))
    by = data.draw(st.integers(-(1 << 40), 1 << 40).filter(bool))
    other = [count + by if g == group else count for g, count in enumerate(rows)]
    assert tally(enumerate(other)) != tally(enumerate(rows))


@given(ROWS.filter(lambda rows: len(set(rows)) > 1))
def test_rows_that_went_to_another_group_show(rows: list[int]) -> None:
    """Their sum is the same."""
    assert tally(enumerate(rows[1:] + rows[:1])) != tally(enumerate(rows))
