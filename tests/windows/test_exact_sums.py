"""Sums over frames are exact: of floats the nearest float to the exact sum, of whole numbers and decimals the sum or an
error."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from tests.groupby.in_process import Cut, carried_out, job_of, planned, table_of, write_table

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import SortKey, Window
from shuffle_worker.windows.stores import MemorySpace, ScratchSpace, Space
from shuffle_worker.windows.sums import RunningSums, floats_of, words_of_floats

HOSTILE = [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, 1.0, -1.0, 2.0**53, 2.0**53 + 2, 2.0**-1022, 0.1, -0.1, 1e16]


def kinds(random: np.random.Generator, count: int) -> dict[str, npt.NDArray[np.float64]]:
    return {
        "alike": random.normal(size=count),
        "cents": np.round(random.normal(size=count) * 100, 2),
        "of every size": np.ldexp(random.normal(size=count), random.integers(-1074, 1000, count)),
        "hostile": random.choice(HOSTILE, count),
        "halves that are just rounded": np.ldexp(random.integers(-3, 4, count) * 1.0, random.integers(0, 70, count)),
        "nothing": np.zeros(count),
    }


@pytest.mark.parametrize("on_scratch", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_sums_of_floats_are_exact_and_rounded_once(tmp_path: Path, seed: int, on_scratch: bool) -> None:
    random = np.random.default_rng(seed)
    for name, floats in kinds(random, int(random.integers(1, 80))).items():
        space: Space = ScratchSpace(tmp_path, 7, 1000) if on_scratch else MemorySpace(len(floats))
        sums = RunningSums(space)
        for at in range(0, len(floats), 7):
            some = floats[at : at + 7]
            sums.add(words_of_floats(some), len(some))
        low = random.integers(0, len(floats) + 1, 100)
        high = np.maximum(low, random.integers(0, len(floats) + 1, 100))
        found = floats_of(sums.between(low, high), 100)
        for first, end, one in zip(low.tolist(), high.tolist(), found.tolist(), strict=True):
            try:
                expected = float(sum(map(Fraction, floats[first:end].tolist())))
            except OverflowError:
                assert math.isinf(one)
                continue
            assert one == expected, (name, first, end)


def summed(tmp_path: Path, column: pa.Array, text: str) -> pa.Table:  # type: ignore[type-arg]
    table = pa.table({"k": ["a"] * len(column), "row": range(len(column)), "x": column})
    folder = write_table(tmp_path / "in", table, 2, 3)
    plan = planned(job_of(folder, Window(["k"], [SortKey("row")], {"sum": text})))
    return table_of(carried_out(plan, Cut(), tmp_path / "scratch"))


def test_nothing_is_left_of_what_has_left_the_frame(tmp_path: Path) -> None:
    column = pa.array([1e300, 1.0, 2.0, -1e300, 4.0, float("inf"), 8.0, float("nan"), 16.0, float("-inf"), 32.0])
    found = summed(tmp_path, column, "sum(x) OVER ROWS BETWEEN 1 PRECEDING AND CURRENT ROW").column("sum").to_pylist()
    infinite, nothing = math.inf, "nan"
    expected = [1e300, 1e300, 3, -1e300, -1e300, infinite, infinite, nothing, nothing, -infinite, -infinite]
    assert [nothing if math.isnan(one) else one for one in found] == expected


MOST = 2**63 - 1
D = decimal.Decimal


@pytest.mark.parametrize(
    ("kind", "numbers", "sums"),
    [
        (pa.int64(), [MOST, MOST, -MOST, -MOST, 5], None),
        (pa.int64(), [MOST, -1, 1, -MOST, -MOST], [MOST, MOST - 1, 0, 1 - MOST, None]),
        (pa.int64(), [MOST, -MOST, MOST, -(2**63)], [MOST, 0, 0, -1]),
        (pa.uint64(), [2**64 - 1, 0, 1], [2**64 - 1, 2**64 - 1, 1]),
        (pa.uint64(), [2**64 - 1, 1], None),
        (pa.int8(), [127, 127, -128], [127, 254, -1]),
        (pa.bool_(), [True, True, None], [1, 2, 1]),
        (pa.decimal128(38, 0), [D(10**38 - 1), D(1)], None),
        (pa.decimal128(38, 0), [D(10**38 - 1), D(1 - 10**38), D(7)], [D(10**38 - 1), D(0), D(8 - 10**38)]),
        (pa.decimal128(18, 2), [D("9999999999999999.99"), D("0.01")], [D("9999999999999999.99"), D(10**16)]),
        (pa.decimal256(76, 1), [D(10**74), D("0.1"), D("-0.2")], [D(10**74), D("1" + "0" * 74 + ".1"), D("-0.1")]),
        (pa.duration("ms"), [5, 6, None], [5, 11, 6]),
    ],
)
def test_whole_numbers_and_decimals_fit_or_fail(
    tmp_path: Path, kind: pa.DataType, numbers: list[object], sums: list[object] | None
) -> None:
    text = "sum(x) OVER ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
    column = pa.array(numbers, kind)
    with decimal.localcontext(prec=80):
        if sums is None or None in sums:
            with pytest.raises(DataError, match=r"SUM\(x\) OVER .* does not fit .* for a row of k = a; use a float"):
                summed(tmp_path, column, text)
            return
        found = summed(tmp_path, column, text).column("sum")
        if pa.types.is_duration(kind):
            assert found.type == kind
            found = found.cast(pa.int64())
        assert found.to_pylist() == sums


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pa.int64(), MOST),
        (pa.uint64(), 2**64 - 1),
        (pa.decimal128(38, 0), D(9 * 10**37)),
        (pa.decimal128(38, 2), D(-9 * 10**35)),
        (pa.decimal256(76, 0), D(9 * 10**75)),
        (pa.decimal256(76, 10), D(-9 * 10**65)),
    ],
)
def test_means_of_sums_that_do_not_fit(tmp_path: Path, kind: pa.DataType, number: D) -> None:
    found = summed(tmp_path, pa.array([number] * 20, kind), "avg(x) OVER ROWS UNBOUNDED PRECEDING")
    assert found.column("sum").to_pylist() == pytest.approx([float(number)] * 20, rel=1e-15)
