"""A filter that cannot be meant is refused with the place in it, the types and what to write instead."""

from __future__ import annotations

import pyarrow as pa
import pytest

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.expressions.filter import columns_of, compile_filter
from shuffle_worker.expressions.pairs import compile_pairs

SCHEMA = pa.schema(
    [
        ("amount", pa.int64()),
        ("country", pa.string()),
        ("paid", pa.bool_()),
        ("ts", pa.timestamp("us")),
        ("zoned", pa.timestamp("us", "UTC")),
        ("tags", pa.list_(pa.string())),
        ("a.b", pa.int64()),
        ("raw", pa.binary()),
    ]
)


@pytest.mark.parametrize(
    ("text", "caret"),
    [
        ("amount = = 1", 9),
        ("amount >", 7),
        ("(amount = 1", None),
        ("amount = 1 country", 11),
        ("amount = 1 AND", 11),
        ("amount IN (1,", None),
        ("SELECT 1", 0),
        ("DROP TABLE x", 0),
    ],
)
def test_what_does_not_parse_has_a_caret(text: str, caret: int | None) -> None:
    with pytest.raises(InvalidSpec) as refused:
        columns_of(text)
    message = refused.value.message
    assert message.startswith("inputs[0].filter: ")
    assert text in message
    lines = message.split("\n")
    assert lines[-1].strip() == "^"
    if caret is not None:
        assert lines[-1].index("^") - 2 == caret, message
        assert f"character {caret + 1}" in message


def test_an_error_on_a_later_line() -> None:
    with pytest.raises(InvalidSpec, match="line 2, character 5") as refused:
        compile_filter("amount = 1\nAND amount = 'DE' AND paid", SCHEMA)
    assert refused.value.message.split("\n")[-1].index("^") == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("amount = 1; paid", "2 statements"),
        ("country = 'DE", "a quote is never closed"),
    ],
)
def test_what_is_no_one_condition(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        columns_of(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("amuont > 1", r"no column 'amuont'; did you mean 'amount'\?"),
        ("Country = 'x'", r"no column 'Country'; did you mean 'country'\?"),
        ("zzzzzz = 1", "its columns are amount, country"),
        ("a.b = 1", 'write "a.b" in double quotes'),
        ("tags.x = 1", "tags has no parts, it is list"),
    ],
)
def test_an_unknown_column(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        compile_filter(text, SCHEMA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("country > 5", r"country is string and 5 is int64.*write the number in single quotes, or CAST"),
        ("amount = 'x'", r"amount is int64 and 'x' is string.*without quotes"),
        ("amount = TRUE", r"amount is int64 and TRUE is bool"),
        ("ts > 5", r"TIMESTAMP '2026-01-31 12:00:00' or DATE"),
        ("ts > 'yesterday'", r"'yesterday' is no timestamp.*write it as 2026-01-31"),
        ("ts > '2026-13-01'", r"'2026-13-01' is no timestamp"),
        ("ts > '2026-01-01 00:00:00Z'", r"the column has no time zone: leave the offset out"),
        ("ts = zoned", r"ts is timestamp\[us\] and zoned is timestamp\[us, tz=UTC\]"),
        ("tags = 'x'", r"only be tested with IS NULL"),
        ("raw = 'x'", r"CAST"),
        ("amount", r"is int64, not a condition"),
        ("country AND paid", r"country is string, not a condition"),
        ("NOT amount", r"not a condition"),
        ("country + 1 > 2", r"arithmetic needs numbers, country is string"),
        ("UPPER(amount) = 'x'", r"UPPER needs text, amount is int64"),
        ("ABS(country) = 1", r"ABS needs a number"),
        ("-country = 1", r"- needs a number"),
        ("amount LIKE 'x'", r"LIKE needs text"),
        ("country LIKE country", r"pattern in single quotes"),
        ("amount IN (SELECT 1)", r"IN needs a list"),
        ("amount IN ('x')", r"int64.*string"),
        ("CAST(amount AS JSON) = 1", r"CAST to JSON is not supported"),
        ("CAST('abc' AS DATE) = DATE '2026-01-01'", r"'abc' is no DATE"),
        ("DATE '2026-02-30' = DATE '2026-01-01'", r"'2026-02-30' is no DATE"),
        ("my_function(amount) = 1", r"my_function is not supported"),
        ("CASE WHEN amount THEN TRUE ELSE FALSE END", r"amount is int64, not a condition"),
        ("EXISTS (SELECT 1)", r"EXISTS is not supported"),
        ("paid IS 5", r"NULL, TRUE or FALSE"),
    ],
)
def test_what_does_not_fit_together(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^inputs\[0\]\.filter: ") as refused:
        compile_filter(text, SCHEMA)
    assert refused.match(said)


@pytest.mark.parametrize("text", ["amount + 9223372036854775807 > 0", "CAST(country AS BIGINT) = 1"])
def test_a_value_that_cannot_be_worked_out_is_a_data_error(text: str) -> None:
    batch = pa.RecordBatch.from_pylist([{"amount": 5, "country": "DE"}], schema=SCHEMA)
    compiled = compile_filter(text, SCHEMA)
    with pytest.raises(DataError, match=r"inputs\[0\]\.filter.*cannot be worked out"):
        compiled.mask(batch, "a.parquet")


def test_a_nested_column_can_be_null() -> None:
    batch = pa.RecordBatch.from_pylist([{"tags": ["x"]}, {"tags": None}], schema=SCHEMA)
    assert compile_filter("tags IS NULL", SCHEMA).mask(batch, "a.parquet").to_pylist() == [False, True]


@pytest.mark.parametrize("text", ["nothing", "CASE WHEN n > 1 THEN NULL END", "IF(n > 1, NULL, NULL)", "NULL"])
def test_what_is_null_whatever_the_row_is_passes_no_row(text: str) -> None:
    batch = pa.record_batch({"n": [1, 2], "nothing": pa.nulls(2)})
    assert compile_filter(text, batch.schema).mask(batch, "a.parquet").to_pylist() == [False, False]
    sides = batch.rename_columns(["m", "nothing"]), batch.select(["n"])
    condition = compile_pairs(text, (sides[0].schema, sides[1].schema), {"l": 0, "r": 1}, "operation.join.where")
    given = [side.select(names) for side, names in zip(sides, condition.columns, strict=True)]
    assert condition.holds(given[0], given[1], 2).tolist() == [False, False]
