"""What a type that was found takes: for each format, each type and each awkward spelling just what it would have been
found from; all else is a fault of its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from shuffle_protocol.jobs import Csv
from shuffle_worker.columns.arrow import Array
from shuffle_worker.readers.csv_text import CsvText
from shuffle_worker.readers.json_text import JsonText
from shuffle_worker.readers.text import Dialect, Fault
from shuffle_worker.readers.text_types import plain

NOTHING = pa.schema([])

NUMBERS = [
    "0",
    "1",
    "-1",
    "-0",
    "7",
    "1000",
    "1.0",
    "1.5",
    "2.50",
    "0.1",
    "0.125",
    "1e3",
    "1E3",
    "1e-3",
    "10e-1",
    "0e5",
]
NUMBERS += ["1e20", "1e22", "100000000000000000000", "1e400", "-1e400", "1e-400", "0.30000000000000004"]
NUMBERS += ["9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808"]
NUMBERS += ["-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616"]
NUMBERS += ["18446744073709551617.5", "12345678901234567.89", "0.10000000000000001", "123456789012345678e-1", "NaN"]
NUMBERS += ["Infinity", "-Infinity", "true", "false"]

TEXTS = ["x", "t", "yes", "2026-01-01", "0000-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "2026-1-1", "20260101"]
TEXTS += ["10:00", "10:00:59", "10:00:60", "24:00:00", "10:00:00.5", "2026-01-01T10:00", "2026-01-01 10:00:00"]
TEXTS += ["2026-01-01T10:00:60", "2026-01-01T10:00:00.5", "2026-01-01T10:00:00.1234567", "9999-12-31T23:59:59"]
TEXTS += ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00+02", "2026-01-01T10:00:00+0200", "2026-01-01T10:00:00.5+02:00"]
TEXTS += [" 2026-01-01", "2026-01-01 ", "2026-01-01T10:00:00+25:00", "2026-01-01T24:00:00"]

ONLY_CSV = ["007", "00", "-07", "+1", "+0.5", "00.5", ".5", "5.", "0x1F", "1_000", " 1", "1 ", "nan", "inf", "INF"]
ONLY_CSV += ["nan(1)", "infinite", "TRUE", "tRuE", " true", "1e", "1.5d3", "1e+05", "0.50000000000000000000", "1,0"]

SAMPLES = [
    "7",
    "-1",
    "0.5",
    "true",
    "18446744073709551615",
    "18446744073709551616",
    "12345678901234567.89",
    "2026-01-01",
]
SAMPLES += ["10:00:00", "2026-01-01 10:00:00", "2026-01-01T10:00:00.5", "2026-01-01T10:00:00.1234567"]
SAMPLES += ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00.5Z", "x", ""]


class Format:
    def __init__(self, dialect: Dialect, names: list[str], line: Callable[[str], str], late: Sequence[str]) -> None:
        self.dialect, self.names, self.line, self.late = dialect, names, line, late

    def block(self, values: Sequence[str]) -> bytes:
        return "".join(f"{self.line(value)}\n" for value in values).encode()

    def found(self, *values: str) -> pa.DataType | None:
        """The type that the plan finds from these values; None where it refuses them."""
        try:
            return plain(self.dialect.schema(self.names, self.block(values))).field("v").type
        except Fault:
            return None

    def read(self, kind: pa.DataType, *values: str) -> Array:
        types = pa.schema([pa.field("v", kind)])
        return self.dialect.parse(self.block(values), self.names, types, ["v"]).column(0)


def json_value(text: str) -> str:
    return text if text in NUMBERS else "null" if text == "" else f'"{text}"'


FORMATS = {
    "csv": Format(
        CsvText(Csv(), NOTHING), ["k", "v"], lambda v: f'1,"{v}"' if v else "1,", [*NUMBERS, *TEXTS, *ONLY_CSV]
    ),
    "json": Format(JsonText(NOTHING), [], lambda v: f'{{"v": {json_value(v)}}}', [*NUMBERS, *TEXTS, ""]),
    "in a list": Format(JsonText(NOTHING), [], lambda v: f'{{"v": [{json_value(v)}]}}', [*NUMBERS, *TEXTS, ""]),
    "quoted": Format(JsonText(NOTHING), [], lambda v: f'{{"v": "{v}"}}', [*NUMBERS, *TEXTS]),
}


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_what_the_reader_takes_is_what_the_plan_would_have_taken(form: Format, sample: str) -> None:
    kind = form.found(sample)
    assert kind is not None
    for late in form.late:
        if form.found(sample, late) == kind:
            assert str(form.read(kind, sample, late).slice(1)) == str(form.read(kind, late))
            continue
        with pytest.raises(Fault) as said:
            form.read(kind, sample, late)
        assert said.value.at == len(form.block([sample])), (late, said.value.message)
