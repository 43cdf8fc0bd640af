"""How even the output is: classes of sizes, and the keys that stand out."""

from __future__ import annotations

import pytest

from shuffle_operator.history.output_sizes import OutputSizes
from shuffle_protocol.measures import FrequentKey
from shuffle_protocol.messages import Done, LeaseId, LeaseKind
from shuffle_protocol.sizes import FIRST, LAST, bounds, classes, median, size_class
from shuffle_worker.output.manifest import only_key


def wrote(sizes: list[int], group: int = 0, key: str = "") -> Done:
    return Done(
        LeaseId(LeaseKind.WRITE, 0, group, 0),
        rows_written=len(sizes),
        bytes_written=sum(sizes),
        files=len(sizes),
        largest=max(sizes, default=0),
        sizes=classes(sizes),
        largest_file=f"part-{group}",
        only_key=key,
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


def test_hot_keys_are_those_of_the_sample_and_those_that_fill_a_file() -> None:
    found = OutputSizes()
    for group in range(9):
        found.wrote(wrote([1_000_000], group, key="even" if group == 3 else ""))
    found.wrote(wrote([9_000_000], 9, key="customer 7"))
    skew = found.skew([FrequentKey("id = 1", 5_000_000, 0.25)], {})
    assert [(key.key, key.share) for key in skew.hot_keys] == [("id = 1", 0.25), ("customer 7", -1.0)]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (None, ""),
        (([], []), ""),
        ((["a"], ["b"]), ""),
        ((["a"], ["a"]), "a"),
        (([7, None], [7, None]), "7, null"),
        ((["x" * 999], ["x" * 999]), "x" * 200),
    ],
)
def test_the_one_key_of_a_file(keys: tuple[list[object], list[object]] | None, text: str) -> None:
    assert only_key(keys) == text
