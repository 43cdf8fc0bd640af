"""How even the output is: classes of sizes, and the keys that stand out."""

from __future__ import annotations

import pytest

from shuffle_operator.history.figures import HotKey
from shuffle_operator.history.output_sizes import GROUPS, KEYS, SAMPLE, OutputSizes
from shuffle_protocol.measures import FrequentKey
from shuffle_protocol.messages import Done, LeaseId, LeaseKind
from shuffle_protocol.sizes import FIRST, LAST, bounds, classes, median, size_class


def wrote(sizes: list[int], group: int = 0, key: str = "", share: float = 0.0, rows: int = 1) -> Done:
    return Done(
        LeaseId(LeaseKind.WRITE, 0, group, 0),
        rows_written=len(sizes),
        bytes_written=sum(sizes),
        files=len(sizes),
        largest=max(sizes, default=0),
        sizes=classes(sizes),
        largest_file=f"part-{group}",
        rows_moved=rows,
        key=key,
        key_share=share,
    )


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 5_000_000, 1 << 30, 1 << 41, 1 << 60])
def test_a_size_is_within_the_bounds_of_its_class(size: int) -> None:
    number = size_class(size)
    assert FIRST - 1 <= number <= LAST
    low, high = bounds(number)
    assert number == LAST or low <= size < high or size_class(size - 1) != size_class(size + 1)


def test_the_median_is_about_right_and_the_bins_have_every_file() -> None:
    found = OutputSizes()
    for group in range(100):
        found.wrote(wrote([1_000_000 + 1000 * group], group))
    skew = found.skew([], {})
    assert sum(each.files for each in skew.bins) == skew.files == 100
    assert skew.median == pytest.approx(1_050_000, rel=0.2)
    assert skew.largest == 1_099_000
    assert [one.group for one in skew.biggest] == list(range(99, 79, -1))
    exact = found.skew([], {"median": 1_049_000, "largest": 1_099_000, "files": 100})
    assert exact.median == 1_049_000
    assert median([]) == 0


def test_hot_keys_are_those_that_make_files_large_and_those_of_the_plans_sample() -> None:
    found = OutputSizes()
    for group in range(9):
        found.wrote(wrote([1_000_000], group, key="id = 3", share=0.2))
    found.wrote(wrote([9_000_000], 9, key="id = 7", share=0.9, rows=900))
    found.wrote(wrote([1_000_000], 10, key="id = 8", share=1.0, rows=91))
    skew = found.skew([FrequentKey("id = 1", 5_000_000, 0.25), FrequentKey("id = 7", 8_000_000, 0.8)], {})
    assert skew.hot_keys == [
        HotKey("id = 7", 8_100_000, 810, 0.81, GROUPS),
        HotKey("id = 1", 5_000_000, -1, 0.25, SAMPLE),
    ]


def test_a_key_in_several_groups_is_added_up() -> None:
    found = OutputSizes()
    for group in range(4):
        found.wrote(wrote([1_000_000], group, key="id = 3" if group else "", share=1.0, rows=10))
    (hot,) = found.skew([], {}).hot_keys
    assert (hot.key, hot.bytes, hot.share) == ("id = 3", 3_000_000, 0.75)


def test_only_so_many_keys_are_remembered_the_largest() -> None:
    found = OutputSizes()
    for group in range(3 * KEYS):
        found.wrote(wrote([1_000 + group], group, key=f"id = {group}", share=1.0))
    assert len(found.keys) == KEYS
    assert f"id = {3 * KEYS - 1}" in found.keys
