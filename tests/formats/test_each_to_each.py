"""Whole jobs from each format to each other one: the same rows, whatever they came from and went to, and the same bytes
however many workers there were."""

from __future__ import annotations

import datetime
import decimal
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, rows_of
from tests.jobs.harness import Bench, manifest, run_watched, sums

from shuffle_worker.writers.json_text import lines

FORMATS = ["Parquet", "CSV", "JSON", "Feather", "ORC"]
ROWS = 400


def table(rows: int = ROWS) -> pa.Table:
    """What every format can hold."""
    day = datetime.date(2026, 1, 1)
    texts = ["plain", "", None, 'a "quote"', "two\nlines", "x, y", "ünï", "\\", "NA", "tab\t"]
    return pa.table(
        {
            "row": pa.array(range(rows), pa.int64()),
            "text": pa.array([texts[n % len(texts)] for n in range(rows)], pa.string()),
            "number": pa.array([None if n % 7 == 0 else n / 8 for n in range(rows)], pa.float64()),
            "flag": pa.array([None if n % 5 == 0 else n % 2 == 0 for n in range(rows)], pa.bool_()),
            "day": pa.array([day + datetime.timedelta(n) for n in range(rows)]),
            "at": pa.array([n * 10**9 + 123_456_000 for n in range(rows)], pa.timestamp("ns")),
            "price": pa.array([decimal.Decimal(n) / 4 for n in range(rows)], pa.decimal128(12, 2)),
        }
    )


SCHEMA = [{"name": field.name, "type": str(field.type)} for field in table(1).schema]
SUFFIX = {"Parquet": "parquet", "CSV": "csv", "JSON": "json", "Feather": "arrow", "ORC": "orc"}


def encoded(rows: pa.Table, name: str) -> bytes:
    sink = io.BytesIO()
    if name == "Parquet":
        pq.write_table(rows, sink, row_group_size=50)
    elif name == "CSV":
        pyarrow.csv.write_csv(rows, sink)
    elif name == "JSON":
        for batch in rows.to_batches():
            sink.write(lines(batch).buffers()[2] or b"")
    elif name == "Feather":
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=50)
    else:
        pyarrow.orc.write_table(rows, sink)
    return sink.getvalue()


def decoded(path: Path, name: str) -> pa.Table:
    """A file read whole by the format's own library."""
    data = pa.BufferReader(path.read_bytes())
    if name == "Parquet":
        return pq.read_table(data)
    if name == "Feather":
        return pa.ipc.open_file(data).read_all()
    if name == "ORC":
        return pyarrow.orc.ORCFile(data).read()
    schema = table(1).schema
    if name == "CSV":
        options = pyarrow.csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        return pyarrow.csv.read_csv(data, convert_options=options, parse_options=parse)
    texts = pa.schema([f.with_type(pa.string()) if pa.types.is_date(f.type) else f for f in schema])
    found = pyarrow.json.read_json(data, parse_options=pyarrow.json.ParseOptions(explicit_schema=texts))
    return found.cast(schema)


def write_input(folder: Path, rows: pa.Table, name: str, files: int = 3) -> None:
    folder.mkdir()
    each = -(-len(rows) // files)
    for number in range(files):
        part = rows.slice(number * each, each)
        (folder / f"{number}.{SUFFIX[name]}").write_bytes(encoded(part, name))


@pytest.mark.parametrize("source", FORMATS)
def test_from_each_to_each(tmp_path: Path, source: str) -> None:
    rows = table()
    write_input(tmp_path / "in", rows, source)
    given = {"path": str(tmp_path / "in"), **({"schema": SCHEMA} if source in ("CSV", "JSON") else {})}
    for target in FORMATS:
        out = tmp_path / f"out-{target}"
        output = {"path": str(out), "partitions": 3, "format": target, "compression": "None"}
        done = carry_out(job_of(given, output, {"repartition": {"by": ["row"]}}), tmp_path / "scratch")
        assert done.rows == ROWS
        parts = sorted(out.glob(f"part-*.{SUFFIX[target]}"))
        assert [path.name for path in parts] == [file["name"] for file in manifest(out)["files"]]
        found = [decoded(path, target) for path in parts]
        assert rows_of(found) == rows.to_pylist(), target
        assert found[0].schema.names == rows.schema.names


async def test_workers_that_are_processes(bench: Bench) -> None:
    """The same through the program's own machinery: the same bytes for one worker and for two."""
    write_input(bench.root / "in", table(), "CSV")
    found: list[dict[str, str]] = []
    for workers in (1, 2):
        out = bench.root / f"out-{workers}"
        output = {"path": str(out), "partitions": 3, "format": "JSON", "partitionBy": ["flag"], "compression": "Gzip"}
        given = {"path": str(bench.root / "in"), "schema": SCHEMA}
        job = bench.job({"sort": {"by": [{"column": "text"}, {"column": "number"}]}}, given, output)
        end, _ = await run_watched(bench, bench.loaded(job, workers=workers))
        assert end.phase == "Complete", end.cause
        assert end.rows_read == end.rows_written == ROWS
        found.append(sums(out))
    assert found[0] == found[1]
    assert {Path(name).parent.name for name in found[0]} == {
        "",
        "flag=true",
        "flag=false",
        "flag=__HIVE_DEFAULT_PARTITION__",
    }


@pytest.mark.parametrize("deep", ["[{}]", '{{"x": {}}}'])
def test_json_as_deep_as_it_may_be(tmp_path: Path, deep: str) -> None:
    """The deepest line that is read can be sent and written."""
    value = "1"
    for _ in range(59):
        value = deep.format(value)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(f'{{"row": 1, "v": {value}}}\n')
    for target in ("Parquet", "JSON", "Feather", "ORC"):
        output = {"path": str(tmp_path / target), "format": target}
        assert carry_out(job_of(tmp_path / "in", output), tmp_path / "scratch").rows == 1
