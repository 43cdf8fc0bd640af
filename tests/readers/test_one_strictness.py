"""Types that are found from text, and what they take: the same in the rows that the plan looks at and behind them.

A table of samples, each the first rows of a column, and of values that might follow. Where the plan, seeing the value,
would still have given the column its type, the value is read as that type; where it would not, the job fails with the
file, the line and the column. No value is read as anything else than what its text says.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import ResultColumn
from shuffle_worker.columns.type_names import parse_type
from shuffle_worker.readers import formats
from shuffle_worker.readers.forms import Unfit, infer, typed

Column = Callable[..., list[Any]]


def type_of(*texts: str | None) -> str:
    return str(infer(pa.array(texts, pa.string())).type)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ((None, None), "null"),
        (("1", None, "-2", "0"), "int64"),
        (("9223372036854775807", "-9223372036854775808"), "int64"),
        (("9223372036854775808", "1"), "uint64"),
        (("18446744073709551615", "0"), "uint64"),
        (("18446744073709551616",), "string"),
        (("18446744073709551617",), "string"),
        (("9223372036854775808", "-1"), "string"),
        (("99999999999999999999",), "string"),
        (("007",), "string"),
        (("00",), "string"),
        (("-07",), "string"),
        (("+1",), "string"),
        (("1_000",), "string"),
        (("1,000",), "string"),
        ((" 1",), "string"),
        (("1 ",), "string"),
        (("0x1F",), "string"),
        (("-0",), "double"),  # whose sign a whole number does not have
        (("1", "0.5"), "double"),
        ((".5", "5.", "-.5"), "double"),
        (("1e5", "1E-5", "1e+05"), "double"),
        (("1e400",), "string"),
        (("-1e400",), "string"),
        (("1e-400",), "string"),
        (("0e-400", "0.000000"), "double"),
        (("00.5",), "string"),
        (("-00.5",), "string"),
        (("+0.5",), "string"),
        (("1e", "1"), "string"),
        (("1.5d3",), "string"),
        (("0x1p3",), "string"),
        (("nan", "1"), "double"),
        (("NaN", "Infinity", "-inf", "INF"), "double"),
        (("nan(1)",), "string"),
        (("infinite",), "string"),
        (("0.30000000000000004", "1.7976931348623157e308"), "double"),
        (("5e-324", "2.2250738585072014E-308"), "double"),
        (("123456789012345.67",), "double"),
        (("12345678901234567.89",), "string"),
        (("0.12345678901234567890",), "string"),
        (("0.10000000000000001",), "string"),
        (("0.50000000000000000000",), "double"),
        (("100000000000000000000",), "double"),
        (("9007199254740992", "0.5"), "double"),
        (("9007199254740993", "0.5"), "string"),
        (("12345678901234567e-1",), "string"),
        (("true", "false"), "bool"),
        (("TRUE", "False"), "bool"),
        (("true", "1"), "string"),
        (("t",), "string"),
        (("yes", "no"), "string"),
        (("2026-01-01", "0001-01-01", "9999-12-31"), "date32[day]"),
        (("2026-02-30",), "string"),
        (("2026-1-1",), "string"),
        (("20260101",), "int64"),
        (("10000-01-01",), "string"),
        (("2026-01-01", "2026-01-01 10:00:00"), "timestamp[s]"),
        (("2026-01-01 10:00", "2026-01-01T10:00:01"), "timestamp[s]"),
        (("2026-01-01 10:00:00.5", "9999-12-31 23:59:59"), "timestamp[us]"),
        (("2026-01-01 10:00:00.1234567",), "timestamp[ns]"),
        (("2026-01-01 10:00:00.1234567", "9999-12-31 23:59:59"), "string"),
        (("2026-01-01 10:00:00.1234567891",), "string"),
        (("2026-01-01 10:00:60",), "string"),
        (("2026-01-01 24:00:00",), "string"),
        (("2026-01-01 10:00:00,5",), "string"),
        (("2026-01-01T10:00:00Z", "2026-01-01T10:00:00+02:00"), "timestamp[s, tz=UTC]"),
        (("2026-01-01T10:00:00.25+0200", "2026-01-01T10:00:00-02"), "timestamp[us, tz=UTC]"),
        (("2026-01-01T10:00:00Z", "2026-01-01T10:00:00"), "string"),
        (("2026-01-01T10:00:00+25:00",), "string"),
        (("10:00", "23:59:59"), "time32[s]"),
        (("24:00:00",), "string"),
        (("10:00:60",), "string"),
        (("10:00:00.5",), "string"),
        (("10:00:00Z",), "string"),
        (("x", "1"), "string"),
        (("",), "string"),
    ],
)
def test_types_that_are_found(texts: tuple[str | None, ...], kind: str) -> None:
    assert type_of(*texts) == kind
    assert type_of(*texts, *reversed(texts)) == kind
    assert type_of(*[None] * 20, *texts) == kind


SAMPLES = [
    "1000",
    "-1",
    "1.5",
    "0.1",
    "true",
    "2026-01-01",
    "10:00:00",
    "2026-01-01 10:00:00",
    "2026-01-01 10:00:00.5",
    "2026-01-01T10:00:00Z",
    "18446744073709551615",
    "x",
]
LATE = [
    *[
        "1",
        "0",
        "-0",
        "+1",
        "007",
        "02134",
        "0x1F",
        "0X1f",
        "1_000",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
    ],
    *["9007199254740993", "123456789012345678", "12345678901234567.89", "0.10000000000000001", "0.30000000000000004"],
    *[
        "0012",
        "00.5",
        ".5",
        "5.",
        "1.0",
        "2.50",
        "1e3",
        "1E3",
        "1e400",
        "-1e400",
        "1e-400",
        "nan",
        "NaN",
        "-inf",
        "Infinity",
        "nan(1)",
        "1e",
        "1.5d3",
    ],
    *[
        "true",
        "TRUE",
        "tRuE",
        "false",
        "t",
        "2026-01-01",
        "2026-02-30",
        "2026-1-1",
        "0000-01-01",
        "9999-12-31",
        "10:00",
        "10:00:60",
        "24:00:00",
        "07",
    ],
    *["2026-01-01T10:00", "2026-01-01T10:00:60", "2026-01-01T10:00:00.5", "2026-01-01T10:00:00.1234567"],
    *["2026-01-01T10:00:00Z", "2026-01-01T10:00:00+02", "2026-01-01T10:00:00+0200", "2026-01-01T10:00:00+02:00"],
    *["2026-01-01T10:00:00.5Z", "9999-12-31T23:59:59Z", "y"],
    *(" 1", "1 ", " true", "2026-01-01 10:00:00", " "),
]


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("late", LATE)
def test_a_value_is_taken_if_the_plan_would_have_taken_it(sample: str, late: str) -> None:
    kind = infer(pa.array([sample])).type
    both = infer(pa.array([sample, late]))
    column = pa.array([None, sample, late])
    if both.type == kind:
        assert str(typed(column, kind).slice(1)) == str(typed(pa.array([sample, late]), both.type))  # nan is not nan
    else:
        with pytest.raises(Unfit) as said:
            typed(column, kind)
        assert said.value.row == 2


@pytest.mark.parametrize(
    "late", [*LATE, "+5", "-5", "00", "18446744073709551615", "18446744073709551616", "-9223372036854775808"]
)
def test_whole_numbers_of_two_kinds_are_as_strict_as_each(late: str) -> None:
    """Where some files have `int64` and others `uint64` the column is of decimals."""
    kind = infer(pa.array([late])).type
    column = pa.array([None, "1", late, late])
    if kind in (pa.int64(), pa.uint64()):
        assert typed(column, pa.decimal128(38, 0)).to_pylist() == [None, 1, int(late), int(late)]
        return
    with pytest.raises(Unfit) as said:
        typed(column, pa.decimal128(38, 0))
    assert said.value.row == 2


@pytest.mark.parametrize("late", LATE)
def test_a_number_is_the_one_that_stands_there(late: str) -> None:
    """Whatever the type: as many digits, the same exponent."""
    for sample in ("1000", "0.1", "18446744073709551615"):
        try:
            value = typed(pa.array([late]), infer(pa.array([sample])).type)[0].as_py()
        except Unfit:
            continue
        if not isinstance(value, float) or math.isfinite(value):
            assert decimal.Decimal(str(value)) == decimal.Decimal(late)


# -- whole files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Column:
    """The second column of a CSV that the plan looks at the first 64 bytes of."""

    def read(values: list[str], **options: Any) -> list[Any]:
        monkeypatch.setattr(formats, "LOOK", 64)
        monkeypatch.setattr(formats, "MOST_LOOK", 64)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "a.csv").write_text("k,v\n" + "".join(f"{at},{v}\n" for at, v in enumerate(values)))
        return read_all(plan_of(job(tmp_path, **options)))[0].column("v").to_pylist()

    return read


@pytest.mark.parametrize(
    ("sample", "late", "expected"),
    [
        ("1000", "0x1F", "int64"),
        ("1000", "02134", "int64"),
        ("1000", "1.0", "int64"),
        ("1.5", "0012", "double"),
        ("1.5", "1e400", "double"),
        ("1.5", "123456789012345678", "double (more digits than a double holds)"),
        ("true", "1", "bool"),
        ("2026-01-01", "2026-02-30", "date32[day]"),
        ("2026-01-01T10:00:00", "2026-01-01T10:00:60", "timestamp[s]"),
        ("2026-01-01T10:00:00", "2026-01-01T10:00:00Z", "timestamp[s]"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00", "timestamp[s, tz=UTC]"),
        ("10:00:00", "10:00:60", "time32[s]"),
    ],
)
def test_what_does_not_fit_fails_by_line(column: Column, sample: str, late: str, expected: str) -> None:
    with pytest.raises(DataError) as said:
        column([sample] * 100 + [late] + [sample] * 3)
    assert f"a.csv: line 102: column 'v': '{late}' does not fit: expected {expected}, by" in said.value.message
    # and the advice works
    found = column([sample] * 100 + [late], schema=[ResultColumn("v", "string")])
    assert found[100] == late


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int64", " +007 ", 7),
        ("uint8", "255", 255),
        ("uint8", "256", None),
        ("int64", "0x1F", None),
        ("int64", "1.0", None),
        ("int64", "1e3", None),
        ("int64", "1_000", None),
        ("double", "0012", 12.0),
        ("double", "12345678901234567.89", 12345678901234567.89),
        ("double", "1e400", None),
        ("double", "-inf", float("-inf")),
        ("double", "nan(1)", None),
        ("float", "1e39", None),
        ("float", "0.5", 0.5),
        ("bool", "1", True),
        ("bool", " False", False),
        ("bool", "yes", None),
        ("decimal128(12, 2)", "12.5", decimal.Decimal("12.50")),
        ("decimal128(12, 2)", "12.500", decimal.Decimal("12.50")),
        ("decimal128(12, 2)", "12.505", None),
        ("decimal128(4, 2)", "123.45", None),
        ("decimal256(60, 20)", "12345678901234567890.5", decimal.Decimal("12345678901234567890.5")),
        ("date32", "2026-02-30", None),
        ("timestamp[ns]", "9999-12-31 00:00:00", None),
        ("timestamp[s]", "2026-01-01 10:00:00.5", None),
        ("timestamp[us]", "2026-01-01 10:00:00+02:00", None),
        ("timestamp[us, tz=UTC]", "2026-01-01 10:00:00", None),
        ("time64[us]", "10:00:00.25", "10:00:00.250000"),
        ("time32[s]", "10", None),
        ("string", " 007 ", " 007 "),
        ("large_string", "x", "x"),
        ("dictionary<values=string, indices=int8, ordered=0>", "x", "x"),
    ],
)
def test_what_declared_types_take(kind: str, text: str, value: object) -> None:
    column = pa.array([None, text])
    if value is None:
        with pytest.raises(Unfit):
            typed(column, parse_type(kind, ""), declared=True)
        return
    found = typed(column, parse_type(kind, ""), declared=True)
    assert found[0].as_py() is None
    assert found[1].as_py() == value or str(found[1].as_py()) == value
    assert str(found.type) == str(parse_type(kind, ""))


def test_whole_numbers_in_one_file_and_fractions_in_another(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("id\n1234567890123456789\n")
    (tmp_path / "in" / "2.csv").write_text("id\n1.5\n")
    with pytest.raises(DataError) as said:
        plan_of(job(tmp_path))
    for part in ("column 'id' is int64 in", "1.csv but double in", "2.csv", "more digits than a double holds"):
        assert part in said.value.message
    for kind, values in (("string", ["1234567890123456789", "1.5"]), ("decimal128(38, 1)", [1234567890123456789, 1.5])):
        table, _ = read_all(plan_of(job(tmp_path, schema=[ResultColumn("id", kind)])))
        assert table.column("id").to_pylist() == values


def test_unsigned_numbers_in_one_file_and_negative_ones_in_another(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("id\n18446744073709551615\n")
    (tmp_path / "in" / "2.csv").write_text("id\n-1\n")
    table, _ = read_all(plan_of(job(tmp_path)))
    assert table.column("id").to_pylist() == [18446744073709551615, -1]


@pytest.mark.parametrize("late", ["007", "+5", "1e3", "1.0", "-0", "18446744073709551616"])
def test_numbers_behind_the_first_rows_of_such_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    monkeypatch.setattr(formats, "LOOK", 64)
    monkeypatch.setattr(formats, "MOST_LOOK", 64)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("id\n18446744073709551615\n")
    (tmp_path / "in" / "2.csv").write_text("id\n" + "-1\n" * 100 + f"{late}\n")
    with pytest.raises(DataError) as said:
        read_all(plan_of(job(tmp_path)))
    assert f"2.csv: line 102: column 'id': '{late}' does not fit: expected decimal128(38, 0)" in said.value.message


def test_explain_says_why_numbers_are_text(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("x,y\n1.000000000000000056e-01,1\n")
    plan = plan_of(job(tmp_path))
    assert plan.arrow_schema().field("x").type == pa.string()
    assert any("column 'x' is text" in note and "declare its type" in note for note in _notes(tmp_path))


def _notes(folder: Path) -> list[str]:
    from shuffle_worker.inputs.reading import read_inputs
    from shuffle_worker.storage import storage_for

    source = job(folder).inputs[0]
    return read_inputs(source, storage_for(source.paths[0], source.storage)).notes
