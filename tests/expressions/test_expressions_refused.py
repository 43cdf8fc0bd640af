"""What cannot be meant is refused while planning, with the place; what a row has no result for, with its file."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.expressions.value import compile_value

SCHEMA = pa.schema(
    [
        *(("i", pa.int64()), ("s", pa.string()), ("b", pa.bool_()), ("f", pa.float64())),
        *(("d", pa.decimal128(38, 2)), ("day", pa.date32()), ("ts", pa.timestamp("us")), ("clock", pa.time64("us"))),
        *(("z", pa.timestamp("us", "UTC")), ("l", pa.list_(pa.int64())), ("p", pa.struct([("a", pa.int64())]))),
    ]
)
FIELD = "inputs[1].compute.x"


@pytest.mark.parametrize(
    ("text", "said", "caret"),
    [
        ("lowr(s)", "lowr is not supported; did you mean lower?", 0),
        ("1 + lower(i)", "LOWER needs text, i is int64", 4),
        ("round(s)", "ROUND needs a number, s is string", 0),
        ("left(s)", "LEFT is written left(text, count), and is given 1 argument", 0),
        ("lower(s, s)", "LOWER is written lower(text), and is given 2 arguments", 0),
        ("coalesce()", "COALESCE is written coalesce(x, ...), and is given 0 arguments", 0),
        ("coalesce(i, s)", "COALESCE: int64 and string are together, and are of no common type", 0),
        ("CASE WHEN b THEN i ELSE day END", "int64 and date32[day] are together", 10),
        ("CASE WHEN i THEN 1 END", "i is int64, not a condition", 10),
        ("IF(s, 1, 2)", "s is string, not a condition", 3),
        ("i || s", "|| needs text, i is int64; write CAST(i AS TEXT)", 0),
        ("date_trunc('dya', ts)", "DATE_TRUNC: 'dya' is no unit; there are year, quarter", 0),
        ("date_trunc(s, ts)", "DATE_TRUNC: unit is text in single quotes", 0),
        ("date_trunc('hour', day)", "a date has no hour", 0),
        ("date_trunc('day', 'soon')", "write it as 2026-01-31", 0),
        ("year(clock)", "a time has no year", 0),
        ("date_diff('day', z, ts)", "one has a time zone", 0),
        ("regexp_matches(s, '(')", "'(' is no pattern: ", 0),
        ("regexp_matches(s, s)", "pattern is text in single quotes, the same for every row", 0),
        ("regexp_extract(s, 'a', 10)", "group is a number from 0 to 9, not 10", 0),
        ("strftime(ts, '%Q')", "%Q is none of its codes", 0),
        ("lpad(s, 99999999, 'x')", "length is a number from", 0),
        ("bucket(0, i)", "buckets is a number from 1", 0),
        ("bucket(4, f)", "BUCKET needs a whole number, decimal", 0),
        ("make_date(2026, 2, 30)", "cannot be worked out", 0),
        ("ts - ts", "ask for date_diff", 0),
        ("ts + 1", "add an INTERVAL, as in ts + INTERVAL '1 day'", 0),
        ("ts * INTERVAL '1 day'", "an interval is added to a date or a timestamp", 0),
        ("i + INTERVAL '1 day'", "an interval is added to a date or a timestamp, not to int64", 0),
        ("ts + INTERVAL '1 lightyear'", "is no unit of time; there are nanosecond", None),
        ("ts + INTERVAL 'soon'", "is no interval", None),
        ("ts + INTERVAL '1 nanosecond'", "timestamp[us] has no nanoseconds", 0),
        ("ts + INTERVAL (i) DAY", "an interval is a constant", 15),
        ("ts AT TIME ZONE 'Mars'", "'Mars' is no time zone", 0),
        ("i AT TIME ZONE 'UTC'", "AT TIME ZONE needs a timestamp, i is int64", 0),
        ("p.q", "p has no field 'q'; its fields are a", 0),
        ("s.a", "s has no parts, it is string", 0),
        ("l['a']", "l has no parts", 0),
        ("s[1]", "s is string; write list[1]", 0),
        ("contains(l, 'x')", "the items of l are int64, 'x' is string", 0),
        ("CAST(l AS INT)", "list<item: int64> cannot be made a INT", 5),
        ("d * d", "the result may have 77 digits", 0),
        ("nme", "the input has no column 'nme'", 0),
        ("sum(i)", "aggregate with operation.groupBy", 0),
        ("max(i)", "use GREATEST", 0),
        ("now()", "a job gives the same output each time", 0),
        ("INTERVAL '1 day'", "is an interval, which no column holds", None),
        ("NULL", "say of what type, as in CAST(NULL AS TEXT)", None),
        ("", "is empty; write a value such as lower(email)", None),
        ("i; s", "is 2 statements; write one value", None),
        ("SELECT 1", "write only the value", 0),
        ("lower(s", ") is missing here", 6),
    ],
)
def test_an_expression_that_cannot_be_meant(text: str, said: str, caret: int | None) -> None:
    with pytest.raises(InvalidSpec) as refused:
        compile_value(text, SCHEMA, FIELD)
    message = refused.value.message
    assert message.startswith(f"{FIELD}: ")
    assert said in message
    if caret is not None:
        assert message.split("\n")[-1] == " " * (2 + caret) + "^", message


END_OF_TIME = datetime.datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("i + 1", 2**63 - 1),
        ("i * i", 2**40),
        ("-i", -(2**63)),
        ("abs(i)", -(2**63)),
        ("round(i, -1)", 2**63 - 1),
        ("CAST(i AS INT)", 2**31),
        ("CAST(i AS TINYINT)", 128),
        ("CAST(f AS BIGINT)", 2.5),
        ("CAST(f AS BIGINT)", float("nan")),
        ("CAST(f AS BIGINT)", 1e300),
        ("CAST(s AS INT)", "x"),
        ("CAST(s AS DATE)", "2026-02-30"),
        ("CAST(d AS INT)", Decimal("2.50")),
        ("CAST(d AS DECIMAL(4, 2))", Decimal("100.00")),
        ("strptime(s, '%Y-%m-%d')", "2026-01-31 x"),
        ("make_date(i, 1, 1)", 10**9),
        ("to_timestamp(i)", 2**62),
        ("to_timestamp(f)", float("inf")),
        ("CAST(ts AS TIMESTAMP) + INTERVAL '300000 years'", END_OF_TIME),
        ("day + i * 2147483647", 2),
        ("lpad(s, 5, '')", "x"),
    ],
)
def test_a_row_without_a_result_ends_the_job(text: str, value: Any) -> None:
    rows = {
        name: pa.array([None, value], kind) if _holds(value, kind) else pa.nulls(2, kind) for name, kind in _kinds()
    }
    batch = pa.record_batch(rows, schema=SCHEMA)
    if "day" in text:
        batch = batch.set_column(SCHEMA.get_field_index("day"), "day", pa.array([0, 1], pa.int32()).cast(pa.date32()))
    compiled = compile_value(text, SCHEMA, FIELD)
    with pytest.raises(
        DataError, match=r"^s3://b/a\.parquet: inputs\[1\]\.compute\.x: .* cannot be worked out"
    ) as said:
        compiled.of(batch, "s3://b/a.parquet")
    assert ("write TRY_CAST to have null" in said.value.message) == ("CAST(" in text)
    assert ("write try_strptime" in said.value.message) == ("strptime" in text)


def _kinds() -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in SCHEMA]


def _holds(value: object, kind: pa.DataType) -> bool:
    tests = {int: pa.types.is_int64, float: pa.types.is_float64, str: pa.types.is_string, Decimal: pa.types.is_decimal}
    return tests.get(type(value), lambda one: one == pa.timestamp("us"))(kind)


def test_what_a_row_is_not_asked_for_is_no_error() -> None:
    batch = pa.record_batch({"s": pa.array(["1", "x", None]), "i": pa.array([1, 2, 3])})
    text = "CASE WHEN s = 'x' THEN -1 WHEN i < 3 THEN CAST(s AS INT) END"
    assert compile_value(text, batch.schema, FIELD).of(batch, "f").to_pylist() == [1, -1, None]
