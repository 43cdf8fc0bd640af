"""docs/filters.md: each example is run, on the table that the page shows, and each refusal is made."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.expressions.filter import compile_filter
from shuffle_worker.expressions.sql_names import CASTS, SUPPORTED

PAGE = (Path(__file__).parents[2] / "docs/filters.md").read_text()
NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - a time without a zone is meant
NIGHT = datetime(2026, 2, 1)  # noqa: DTZ001
TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "name": pa.array(["Ada", "bob", None, "a_b"]),
        "amount": pa.array([10.5, -3.0, None, float("nan")]),
        "big": pa.array([9007199254740993, 5, None, 7], pa.int64()),
        "price": pa.array([Decimal("19.99"), Decimal("0.50"), None, Decimal("7.00")], pa.decimal128(10, 2)),
        "ok": pa.array([True, False, None, True]),
        "day": pa.array([date(2026, 1, 31), date(2026, 2, 1), None, date(9999, 12, 31)]),
        "at": pa.array([NOON, NIGHT, None, NOON.replace(microsecond=500_000)], pa.timestamp("us")),
        "moment": pa.array(
            [
                NOON.replace(tzinfo=UTC),
                datetime(2026, 2, 1, tzinfo=UTC),
                None,
                datetime(2026, 1, 31, 23, 30, tzinfo=UTC),
            ],
            pa.timestamp("us", "Europe/Berlin"),
        ),
        "clock": pa.array([time(8, 30), time(23, 59, 59), None, time(0)], pa.time64("us")),
        "tags": pa.array([["x"], [], None, ["y", "z"]]),
        "User ID": pa.array([7, 8, 9, 10]),
        "a.b": pa.array([1, 2, 3, 4]),
    }
)
EXAMPLES = [
    tuple(part.strip() for part in line.split("=>"))
    for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
REFUSALS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE[PAGE.index("## What is refused") :], re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 60
    assert len(REFUSALS) > 15


@pytest.mark.parametrize(("text", "rows"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_an_example(text: str, rows: str) -> None:
    mask = compile_filter(text, TABLE.schema).mask(TABLE.to_batches()[0], "a.parquet")
    found = TABLE["id"].filter(mask).to_pylist()
    assert found == [int(number) for number in rows.partition("--")[0].split()]


@pytest.mark.parametrize(("text", "said"), REFUSALS, ids=[text for text, _ in REFUSALS])
def test_a_refusal(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        compile_filter(text, TABLE.schema)
    assert said in str(caught.value)


def test_the_table_is_the_one_shown() -> None:
    shown = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", PAGE[: PAGE.index("## Operators")], re.MULTILINE)
    kinds = {"list<item: string>": "list<string>", "date32[day]": "date32"}
    assert [(name, kind.replace("&lt;", "<").replace("&gt;", ">")) for name, kind in shown] == [
        (field.name, kinds.get(str(field.type), str(field.type))) for field in TABLE.schema
    ]


def test_all_there_is_is_on_the_page() -> None:
    for word in SUPPORTED.removesuffix(", and functions").split():
        assert re.search(rf"(?<![A-Z]){re.escape(word)}(?![A-Z])", PAGE), word
    for name in CASTS:
        assert f"`{name}`" in PAGE, name
