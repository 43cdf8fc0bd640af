"""Lists in messages: the first names, and how many more there are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.names import check_column
from shuffle_protocol.units import some
from shuffle_worker.output.folders import check_folders


@pytest.mark.parametrize(
    ("count", "most", "between", "said"),
    [
        (0, 2, ", ", ""),
        (1, 2, ", ", "n0"),
        (2, 2, ", ", "n0, n1"),
        (3, 2, ", ", "n0, n1 and 1 more"),
        (1500, 1, ", ", "n0 and 1,499 more"),
        (2, 2, "; ", "n0; n1"),
        (5, 2, "; ", "n0; n1; and 3 more"),
        (3, 2, "\n  ", "n0\n  n1\n  and 1 more"),
    ],
)
def test_the_first_are_named_and_the_others_counted(count: int, most: int, between: str, said: str) -> None:
    assert some([f"n{at}" for at in range(count)], most, between) == said


@pytest.mark.parametrize("wrong", ["a column", "a folder"])
def test_an_error_about_a_wide_table_lists_a_few_of_its_columns(wrong: str) -> None:
    schema = pa.schema([(f"value_{at}", pa.int64()) for at in range(2000)])
    with pytest.raises(InvalidSpec, match=r"its columns are value_0, .*value_19 and 1,980 more$"):
        if wrong == "a column":
            check_column("zzz", schema.names, "inputs[0].filter")
        else:
            check_folders(["zzz"], schema)
