"""Values of JSON: a number has all of its digits, a time its offset, text is text; in the rows that the plan looks at,
behind them, in one file or in several, at any depth."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import ResultColumn
from shuffle_worker.readers import formats
from shuffle_worker.readers import text as text_reader
from shuffle_worker.writers.json_text import lines

Read = Callable[..., pa.Table]
UTC = datetime.UTC


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """files: lines of one column, values alone; schema: name=type."""

    def read(*files: list[str], schema: dict[str, str] | None = None, **options: Any) -> pa.Table:
        (tmp_path / "in").mkdir(exist_ok=True)
        for at, values in enumerate(files):
            (tmp_path / "in" / f"{at}.json").write_text("".join(f'{{"v": {value}}}\n' for value in values))
        if schema is not None:
            options["schema"] = [ResultColumn(*one) for one in schema.items()]
        return read_all(plan_of(job(tmp_path, **options)))[0]

    return read


@pytest.fixture
def short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LOOK", 64)
    monkeypatch.setattr(formats, "MOST_LOOK", 64)


def values(table: pa.Table) -> list[Any]:
    return table.column("v").to_pylist()


# -- digits -----------------------------------------------------------------------------------------------------------

DIGITS: list[tuple[list[str], str]] = [
    (["1", "-2", "9223372036854775807"], "int64"),
    (["1", "9223372036854775808"], "uint64"),
    (["18446744073709551615", "null", "0"], "uint64"),
    (["18446744073709551616"], "decimal128(38, 0)"),
    (["-1", "18446744073709551615"], "decimal128(38, 0)"),
    (["1", "0.5"], "double"),
    (["9007199254740992", "0.5"], "double"),
    (["9007199254740993", "0.5"], "decimal128(38, 1)"),
    (["0.30000000000000004", "1e300", "-1.5e-7", "2.2250738585072014E-308", "5e-324"], "double"),
    (["123456789012345.67", "0.123456789012345000"], "double"),
    (["12345678901234567.89", "1", "1.125"], "decimal128(38, 3)"),
    (["0.12345678901234567890", "100000000000000000000.01"], "decimal256(76, 19)"),
    (["18446744073709551616", "1.0", "10e-1", "0.00"], "decimal128(38, 0)"),
    (["1234567890123456789e-3", "1E2"], "decimal128(38, 3)"),
    (["-0.10000000000000001"], "decimal128(38, 17)"),
    (["1e-400"], "refused"),
    (["12345678901234567.89", "1e300"], "refused"),
    (["12345678901234567.89", "NaN"], "refused"),
    (["1" * 80], "refused"),
]
SHAPES = ["{}", "[{}]", '{{"x": {}}}', '{{"x": [{{"y": {}}}], "z": "12345678901234567890"}}']


def numbers(value: Any) -> list[Any]:
    """The numbers inside of a value."""
    if isinstance(value, dict):
        return [number for name, inner in value.items() if name != "z" for number in numbers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers(inner)]
    return [value]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("texts", "kind"), DIGITS)
def test_numbers_keep_their_digits(read: Read, texts: list[str], kind: str, shape: str) -> None:
    given = [shape.format(text) for text in texts]
    if kind == "refused":
        with pytest.raises(DataError) as said:
            read(given)
        for part in (
            "0.json: line 1: column 'v': ",
            "more digits than a double holds",
            "type: string keeps the text of every value",
        ):
            assert part in said.value.message
        assert values(read(given, schema={"v": "string"})) == given
        return
    table = read(given)
    assert kind in str(table.schema.field("v").type)
    for text, value in zip(texts, values(table), strict=True):
        (number,) = numbers(value)
        expected = None if text == "null" else decimal.Decimal(text)
        assert expected == (None if number is None else decimal.Decimal(str(number)))
    # and written again it is the same number
    written = [line.as_py() for batch in table.to_batches() for line in lines(batch)]
    again = [numbers(json.loads(line, parse_float=decimal.Decimal)["v"])[0] for line in written]
    assert again == [json.loads(text, parse_float=decimal.Decimal) for text in texts]


@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("sample", "late"),
    [
        ("0.5", "9007199254740993"),
        ("0.5", "12345678901234567.89"),
        ("0.5", "0.10000000000000001"),
        ("0.5", "1e-400"),
        ("0.5", "1e400"),
        ("7", "9223372036854775808"),
        ("7", "1.5"),
        ("7", "1e3"),
        ("18446744073709551615", "-1"),
        ("18446744073709551617.5", "0.25"),
        ("18446744073709551617.5", '"1.5"'),
        ("18446744073709551617.5", "true"),
    ],
)
def test_numbers_that_the_plan_would_have_read_otherwise(read: Read, sample: str, late: str, shape: str) -> None:
    with pytest.raises(DataError) as said:
        read([shape.format(sample)] * 100 + [shape.format(late)])
    assert "0.json: line 101: " in said.value.message
    assert late.strip('"') in said.value.message.lower()


DIGITS_BEHIND = [
    "1",
    "1.0",
    "10e-1",
    "1e3",
    "2.50",
    "0.125",
    "0.00",
    "18446744073709551616",
    "1e400",
    "NaN",
    '"1"',
    "true",
]


@pytest.mark.parametrize("late", DIGITS_BEHIND)
@pytest.mark.parametrize("sample", ["18446744073709551616", "18446744073709551617.5", "12345678901234567.89"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_decimal_takes_what_it_would_have_been_found_from(
    read: Read, monkeypatch: pytest.MonkeyPatch, sample: str, late: str, shape: str
) -> None:
    rows = [shape.format(sample)] * 20
    try:
        seen = read([*rows, shape.format(late)])
    except DataError:
        seen = None
    kind = read(rows).schema.field("v").type
    for name in ("LOOK", "MOST_LOOK"):
        monkeypatch.setattr(formats, name, 64)
    if seen is not None and seen.schema.field("v").type == kind:
        assert values(read([*rows, shape.format(late)])) == values(seen)
        return
    with pytest.raises(DataError) as said:
        read([*rows, shape.format(late)])
    assert "0.json: line 21: " in said.value.message


@pytest.mark.usefixtures("short_look")
def test_long_numbers_behind_the_first_rows(read: Read) -> None:
    """Whole ones and those of text beside doubles of the same value are what they are."""
    given = ['{"i": 1, "x": 0.5, "s": "a"}'] * 50
    given += ['{"i": 1234567890123456789, "x": 0.1234567890123456, "s": " 1234567890123456789 "}'] * 5
    given += ['{"i": 9007199254740993, "x": 9007199254740992.0, "s": "1.2.3.4.5.6.7.8.9.10"}'] * 5
    table = read(given)
    assert [list(row.values()) for row in values(table)[50:]] == [
        *[[1234567890123456789, 0.1234567890123456, " 1234567890123456789 "]] * 5,
        *[[9007199254740993, 9007199254740992.0, "1.2.3.4.5.6.7.8.9.10"]] * 5,
    ]


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1", "0.5", "double"),
        ("-1", "18446744073709551615", "decimal128(38, 0)"),
        ("1", "12345678901234567.89", "decimal128(38, 2)"),
        ("18446744073709551615", "12345678901234567.89", "decimal128(38, 2)"),
        ("1234567890123456789", "0.5", ""),
        ("12345678901234567.89", "0.5", ""),
    ],
)
@pytest.mark.parametrize("shape", ["{}", '{{"x": [{}]}}'])
def test_numbers_of_two_files(read: Read, one: str, other: str, kind: str, shape: str) -> None:
    first, second = shape.format(one), shape.format(other)
    if kind:
        table = read([first], [second])
        assert kind in str(table.schema.field("v").type)
        assert [decimal.Decimal(str(numbers(value)[0])) for value in values(table)] == [
            decimal.Decimal(one),
            decimal.Decimal(other),
        ]
        return
    with pytest.raises(DataError) as said:
        read([first], [second])
    for part in ("column 'v' is ", "0.json but ", "1.json", "more digits than a double holds", "`schema`"):
        assert part in said.value.message
    assert values(read([first], [second], schema={"v": "string"})) == [first, second]


# -- times ------------------------------------------------------------------------------------------------------------

AT = datetime.datetime(2024, 5, 1, 8, tzinfo=UTC)
BARE = AT.replace(tzinfo=None, hour=10)
END = BARE.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59)
TIMES: list[tuple[list[str], str, list[Any]]] = [
    (["2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"], "timestamp[s, tz=UTC]", [AT, AT]),
    (["2024-05-01T10:00:00+0200", "2024-05-01 10:00+02"], "timestamp[s, tz=UTC]", [AT, AT]),
    (["2024-05-01T10:00:00", "2024-05-01 10:00"], "timestamp[s]", [BARE, BARE]),
    (["2024-05-01T10:00:00.250", "2024-05-01T10:00:00"], "timestamp[us]", [BARE.replace(microsecond=250_000), BARE]),
    (["2024-05-01T10:00:00.25+02:00"], "timestamp[us, tz=UTC]", [AT.replace(microsecond=250_000)]),
    (["2024-05-01T10:00:00.25+02:00", "2024-05-01T10:00:00"], "string", []),
    (["2024-05-01T10:00:00Z", "2024-05-01"], "string", []),
    (["2024-05-01", "9999-12-31"], "date32[day]", [datetime.date(2024, 5, 1), datetime.date(9999, 12, 31)]),
    (["2024-05-01", "2024-05-01T10:00:00"], "timestamp[s]", [BARE.replace(hour=0), BARE]),
    (["9999-12-31T23:59:59.5"], "timestamp[us]", [END.replace(microsecond=500_000)]),
    (["2024-05-01T10:00:60Z"], "string", []),
    (["2024-02-30"], "string", []),
    (["10:00:00"], "string", []),
    (["2024-05-01T10:00:00+25:00"], "string", []),
    (["20240501"], "string", []),
    (["12", "1.5"], "string", []),
    (["true"], "string", []),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("texts", "kind", "expected"), TIMES)
def test_times_and_dates(read: Read, texts: list[str], kind: str, expected: list[Any], shape: str) -> None:
    table = read([shape.format(json.dumps(text)) for text in texts])
    assert f"{kind}" in str(table.schema.field("v").type)
    assert [one for value in values(table) for one in numbers(value)] == (expected or texts)


@pytest.mark.parametrize(
    "text", ["2024-05-01", "2024-05-01T10:00:00", "2024-05-01T08:00:00Z", "0000-01-01", "x", "10:00"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_json_to_json(read: Read, text: str, shape: str) -> None:
    table = read([shape.format(json.dumps(text)), shape.format("null")])
    written = [line.as_py() for batch in table.to_batches() for line in lines(batch)]
    assert [numbers(json.loads(line)["v"]) for line in written] == [[text], [None]]


@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("sample", "late"),
    [
        ("2024-05-01T10:00:00", "2024-05-01T10:00:00+02:00"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00"),
        ("2024-05-01T10:00:00", "2024-05-01T10:00:00.5"),
        ("2024-05-01T10:00:00", "2024-05-01T10:00:60"),
        ("2024-05-01", "2024-05-01T10:00:00"),
        ("2024-05-01", "2024-02-30"),
    ],
)
def test_times_that_the_plan_would_have_read_otherwise(read: Read, sample: str, late: str, shape: str) -> None:
    with pytest.raises(DataError) as said:
        read([shape.format(json.dumps(sample))] * 100 + [shape.format(json.dumps(late))])
    assert "0.json: line 101: column 'v': " in said.value.message
    assert late in said.value.message


def test_times_of_two_files(read: Read) -> None:
    table = read(['"2024-05-01T10:00:00Z"'], ['"2024-05-01T10:00:00.5+02:00"'])
    assert str(table.schema.field("v").type) == "timestamp[us, tz=UTC]"
    with pytest.raises(DataError) as said:
        read(['"2024-05-01T10:00:00Z"'], ['"2024-05-01T10:00:00"'])
    assert "one has a time zone, the other has none" in said.value.message


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("timestamp[us, tz=UTC]", '"2024-05-01T10:00:00+02:00"', AT),
        ("timestamp[us]", '"2024-05-01T10:00:00"', BARE),
        ("timestamp[us]", '"2024-05-01T10:00:00+02:00"', None),
        ("timestamp[us, tz=UTC]", '"2024-05-01T10:00:00"', None),
        ("timestamp[s]", '" 2024-05-01T10:00:00 "', BARE),
        ("list<timestamp[us, tz=UTC]>", '["2024-05-01T10:00:00+02:00", null]', [AT, None]),
        ("struct<x: date32, y: time64[us]>", '{"y": "10:00:00.5"}', {"x": None, "y": datetime.time(10, 0, 0, 500_000)}),
        ("fixed_size_list<date32>[2]", '["2024-05-01", null]', [datetime.date(2024, 5, 1), None]),
        ("large_list<int8>", "[1, 2]", [1, 2]),
        ("dictionary<values=string, indices=int8, ordered=0>", '"a"', "a"),
        ("decimal128(20, 2)", "12345678901234567.89", decimal.Decimal("12345678901234567.89")),
        ("decimal128(20, 2)", '"12345678901234567.89"', decimal.Decimal("12345678901234567.89")),
        ("decimal64(18, 2)", "1.25", decimal.Decimal("1.25")),
        ("decimal128(20, 2)", "1.255", None),
        ("double", "12345678901234567.89", 12345678901234567.89),
        ("int64", '"1"', None),
        ("bool", "1", None),
    ],
)
def test_declared_types(read: Read, kind: str, given: str, expected: object) -> None:
    if expected is None:
        with pytest.raises(DataError) as said:
            read(["null", given], schema={"v": kind})
        assert "0.json: line 2: column 'v': " in said.value.message
        assert values(read(["null", given], schema={"v": "string"})) == [
            None,
            json.loads(given) if '"' in given else given,
        ]
    else:
        assert values(read(["null", given], schema={"v": kind})) == [None, expected]


# -- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize(
    "given",
    [
        "1",
        "-1.50",
        "12345678901234567890.123",
        "1e400",
        "true",
        "false",
        '{"a": [1, {"b": "ü"}]}',
        "[1,  2]",
        "[]",
        "{}",
        "NaN",
    ],
)
def test_what_is_no_text_has_its_own_text_where_text_is_declared(read: Read, given: str) -> None:
    rows = ['"x"', "null", *['"y\\n\\u00fc"'] * 50, given, '"1"']
    expected = ["x", None, *["y\nü"] * 50, given, "1"]
    assert values(read(rows, schema={"v": "string"})) == expected
    inner = [f'{{"l": [{row}], "n": 1.5, "s": {{"t": {row}}}}}' for row in rows]
    found = values(read(inner, schema={"v": "struct<l: list<string>, n: double, s: struct<t: large_string>>"}))
    assert found == [{"l": [one], "n": 1.5, "s": {"t": one}} for one in expected]


def test_kinds_that_change_are_refused_with_a_way_out(read: Read) -> None:
    with pytest.raises(DataError) as said:
        read(["1", '"x"'])
    assert "line 2: column 'v': a string where the lines before have a number" in said.value.message
    assert values(read(["1", '"x"'], schema={"v": "string"})) == ["1", "x"]


def test_the_line_of_a_fault_beside_text_that_was_made_longer(read: Read) -> None:
    rows = ['{"a": 12345, "b": 1}'] * 30 + ['{"a": "x", "b": 1.5}']
    with pytest.raises(DataError) as said:
        read(rows, schema={"v": "struct<a: string, b: int64>"})
    assert "0.json: line 31: column 'v': " in said.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a":1,"b":1.5}{"a":2,"b":2.5}', "no JSON object: Extra data"),
        ('{"a":"1","b":1.5}{"a":"2","b":2.5}', "holds more than one object"),
        ('{"a":1,"b":1.5} {"a":"2","b":2.5}', "no JSON object: Extra data"),
        ('{"a":1,"b":1.5} garbage', "no JSON object: Extra data"),
        ('{"a":1 "b":1.5}', "no JSON object: Expecting ',' delimiter"),
        ('{"a"=1,"b":1.5}', "no JSON object: Expecting ':' delimiter"),
        ('{"a":1,"b":1.5,}', "no JSON object: "),
        ('{"a":[1 2],"b":1.5}', "no JSON object: Expecting ',' delimiter"),
        ('{"a":1,"b":1.5', "no JSON object: "),
        ('{"a":1,"b":0.12345678901234567890123}', "column 'b': '0.12345678901234567890123' does not fit"),
        ('{"a":1,"b":1.5,"c":2}', "has a field 'c' that is not in the first lines"),
        ('{"a":1,"b":"x"}', "column 'b': 'x' does not fit"),
    ],
)
@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_faults_of_lines_beside_a_declared_text(tmp_path: Path, line: str, said: str, end: str) -> None:
    """The lines before become longer or shorter by what stands for their values."""
    before = ['{"a": "x", "b": 1.5}'] * 20 + ['{"a":{"k":[ 1, 2, 3 ]},"b":1}'] * 15 + ['{"a" : 1 , "b" : 1}'] * 15
    put(tmp_path, end.join([*before, line, *before]).encode())
    with pytest.raises(DataError) as refused:
        read_all(plan_of(job(tmp_path, schema=[ResultColumn("a", "string")])))
    assert "a.json: line 51: " in refused.value.message
    assert said in refused.value.message


# -- lines ------------------------------------------------------------------------------------------------------------


def put(folder: Path, content: bytes) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "a.json").write_bytes(content)
    return folder


@pytest.mark.parametrize("part", [text_reader.PART, 40])
@pytest.mark.parametrize("ends", [["\n"], ["\r\n"], ["\r"], ["\r", "\n", "\r\n", "\n\r"]])
@pytest.mark.parametrize("last", ["", "\n", "\r", "\r\n"])
def test_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, ends: list[str], last: str) -> None:
    monkeypatch.setattr(text_reader, "PART", part)
    content = "".join(f'{{"a": {at}, "b": "x\\r\\n"}}{ends[at % len(ends)]}' for at in range(40)) + '{"a": 40, "b": ""}'
    table, _ = read_all(plan_of(job(put(tmp_path, (content + last).encode()))))
    assert table.column("a").to_pylist() == list(range(41))
    assert table.column("b").to_pylist() == ["x\r\n"] * 40 + [""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": "\\ud800"}', "line 1: half of a surrogate pair, which is no character"),
        ('{"a": 1, "a": 1}', "'a' is in the object twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' is in the object twice"),
        ('{"a": 01}', "no JSON object"),
        ('{"a": +1}', "no JSON object"),
        ('{"a": .5}', "no JSON object"),
        ('{"a": 1e400}', "line 1: column 'a': 1e400 is more than a double holds; correct the value, or declare"),
        ("{'a': 1}", "no JSON object"),
        ('{"a": 1,}', "no JSON object"),
        ('{"a": "\x00"}', "no JSON object"),
        ('{"a": 1}\x00', "no JSON object"),
        ("[\n" + '{"a": 1},\n' * 3 + "]", "line 1: a JSON array; this format has one object a line"),
        ('{\n  "a": 1\n}', "no JSON object"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "line 1: nested more than 60 deep"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "line 1: nested more than 60 deep"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "line 1: nested more than 60 deep"),
        ('{"a": 1}\n\ufeff{"a": 2}', "line 2: no JSON object"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        plan_of(job(put(tmp_path, content.encode())))
    assert said in refused.value.message
    assert len(refused.value.message) < 1000


def test_nested_as_deep_as_allowed(tmp_path: Path) -> None:
    deep = '{"a": ' + "[" * 59 + "1" + "]" * 59 + ', "b": "' + "[{" * 500 + '"}'
    table, _ = read_all(plan_of(job(put(tmp_path, deep.encode()))))
    assert str(table.column("a")[0].as_py()) == "[" * 59 + "1" + "]" * 59


def test_nan_and_infinities(read: Read) -> None:
    found = values(read(["NaN", "Infinity", "-Infinity", "1"]))
    assert str(found) == "[nan, inf, -inf, 1.0]"
