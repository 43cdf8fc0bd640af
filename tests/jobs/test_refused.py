"""Bad input, given to `shuffle run`: exit code 2, a message that names the thing, nothing written, nothing left.

Each case is a job file that is wrong, or a right one whose input, output or memory is. What the planner says is tested
in detail in tests/plan; here it is held to arrive at the person who asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.jobs import data
from tests.jobs.harness import Bench, Outcome, sums

from shuffle_local.cli.main import execute

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}

Refuse = Callable[..., str]


@pytest.fixture
def run(bench: Bench, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """The command line in this process; its workers are processes."""
    bench.scratch.mkdir()

    def call(job: Path, *options: str) -> Outcome:
        capfd.readouterr()
        code = execute(["run", str(job), "-w", "1", "-m", "300Mi", "--scratch", str(bench.scratch), *options])
        return Outcome(code, *capfd.readouterr())

    yield call


@pytest.fixture
def refused(bench: Bench, run: Callable[..., Outcome]) -> Refuse:
    """Runs a job that must be refused without a trace, and returns what was said."""

    def there() -> dict[Path, int]:
        """All but what the harness itself gives to workers, which keep its bytecode."""
        ours = bench.root / "injected"
        return {path: path.stat().st_mtime_ns for path in bench.root.rglob("*") if not path.is_relative_to(ours)}

    def call(job: Path, *options: str) -> str:
        before = there()
        outcome = run(job, *options)
        assert outcome.code == 2, outcome
        assert "Traceback" not in outcome.err
        assert "defect" not in outcome.err
        after = {path: time for path, time in there().items() if path != bench.scratch}
        files = {path: time for path, time in after.items() if path.is_file()}
        assert files == {path: time for path, time in before.items() if path.is_file()}
        assert set(after) <= set(before)
        return " ".join(outcome.err.split())

    return call


@pytest.fixture
def source(bench: Bench) -> Path:
    """One small file."""
    folder = bench.root / "in"
    folder.mkdir()
    pq.write_table(data.events(200, width=8), folder / "a.parquet")
    return folder


def said(text: str, *words: str) -> None:
    for word in words:
        assert word in text, text


# -- the job file ----------------------------------------------------------------------------------------------------


def test_no_such_job_file(bench: Bench, refused: Refuse) -> None:
    said(refused(bench.root / "absent.yaml"), "absent.yaml")


def test_not_yaml(bench: Bench, refused: Refuse) -> None:
    job = bench.root / "job.yaml"
    job.write_text("spec: [1, 2\nkind: {")
    said(refused(job), "InvalidSpec", "job.yaml", "YAML")


def test_another_kind(bench: Bench, refused: Refuse) -> None:
    job = bench.root / "job.yaml"
    job.write_text(yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {}}))
    said(refused(job), "InvalidSpec", "ShuffleJob", "batch/v1")


def test_an_unknown_field(bench: Bench, source: Path, refused: Refuse) -> None:
    said(refused(bench.job(HASH, source, {"partitons": 3})), "spec.output.partitons", "partitions")


@pytest.mark.parametrize("operation", [{}, {**HASH, "sort": {"by": [{"column": "row"}]}}], ids=["none", "two"])
def test_one_operation(bench: Bench, source: Path, refused: Refuse, operation: dict[str, Any]) -> None:
    said(refused(bench.job(operation, source)), "spec.operation", "one")


def test_partitions_and_a_size(bench: Bench, source: Path, refused: Refuse) -> None:
    job = bench.job(HASH, source, {"partitions": 3, "targetPartitionSize": "64Mi"})
    said(refused(job), "spec.output", "partitions", "targetPartitionSize")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"partitions": 0}, ["partitions", "1"]),
        ({"partitions": 10**9}, ["partitions", "1,000,000"]),
        ({"partitions": "three"}, ["partitions"]),
        ({"targetPartitionSize": "12 bananas"}, ["targetPartitionSize", "12 bananas"]),
        ({"targetPartitionSize": "1Ki"}, ["targetPartitionSize", "1Mi"]),
        ({"compression": "Zstandard"}, ["compression", "Zstd"]),
    ],
)
def test_absurd_values(bench: Bench, source: Path, refused: Refuse, output: dict[str, Any], words: list[str]) -> None:
    said(refused(bench.job(HASH, source, output)), *words)


@pytest.mark.parametrize(("option", "value"), [("--memory", "1Ki"), ("--memory", "many"), ("--workers", "0")])
def test_absurd_options(bench: Bench, source: Path, refused: Refuse, option: str, value: str) -> None:
    said(refused(bench.job(HASH, source), option, value), option)


def test_a_column_twice(bench: Bench, source: Path, refused: Refuse) -> None:
    said(refused(bench.job(HASH, {"path": str(source), "columns": ["user", "user"]})), "columns", "user")


# -- columns and filter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "where"),
    [
        ({"repartition": {"by": ["usr"]}}, "operation.repartition.by[0]"),
        ({"repartition": {"range": ["usr"]}}, "operation.repartition.range[0]"),
        ({"sort": {"by": [{"column": "row"}, {"column": "usr"}]}}, "operation.sort.by[1].column"),
    ],
)
def test_a_key_that_does_not_exist(
    bench: Bench, source: Path, refused: Refuse, operation: dict[str, Any], where: str
) -> None:
    said(refused(bench.job(operation, source)), "InvalidSpec", where, "'usr'", "did you mean 'user'?")


def test_a_column_that_does_not_exist(bench: Bench, source: Path, refused: Refuse) -> None:
    job = bench.job(HASH, {"path": str(source), "columns": ["user", "nmae"]})
    said(refused(job), "inputs[0].columns[1]", "'nmae'", "did you mean 'name'?")


def test_a_column_that_does_not_exist_in_the_filter(bench: Bench, source: Path, refused: Refuse) -> None:
    job = bench.job(HASH, {"path": str(source), "filter": "scor > 3"})
    said(refused(job), "inputs[0].filter", "'scor'", "did you mean 'score'?")


def test_a_filter_that_does_not_parse(bench: Bench, source: Path, refused: Refuse) -> None:
    said(refused(bench.job(HASH, {"path": str(source), "filter": "score > > 3"})), "inputs[0].filter", "score > > 3")


def test_a_key_without_an_order(bench: Bench, source: Path, refused: Refuse) -> None:
    pq.write_table(pa.table({"user": [[1, 2], [3]]}), source / "a.parquet")
    said(refused(bench.job(HASH, source)), "operation.repartition.by[0]", "'user' is list<", "hashed")


# -- the input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("absent", ["no such file or folder"]),
        ("*.orc.parquet", ["matches no file"]),
        ("empty", ["holds no files"]),
    ],
)
def test_no_input(bench: Bench, refused: Refuse, path: str, words: list[str]) -> None:
    (bench.root / "empty").mkdir()
    said(refused(bench.job(HASH, bench.root / path)), "InputNotFound", path, *words)


@pytest.mark.parametrize(
    ("path", "words"), [("gs4://bucket/in", ["unknown scheme gs4://"]), ("s33://bucket/in", ["did you mean s3://?"])]
)
def test_an_unknown_scheme(bench: Bench, refused: Refuse, path: str, words: list[str]) -> None:
    said(refused(bench.job(HASH, path)), "InvalidSpec", path, *words)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda whole: whole[: len(whole) // 2], ["truncated"]),
        (lambda whole: b"", ["zero bytes"]),
        (lambda whole: b"id,name\n1,a\n", ["not a Parquet file"]),
    ],
    ids=["truncated", "empty", "text"],
)
def test_a_spoiled_file(
    bench: Bench, source: Path, refused: Refuse, spoil: Callable[[bytes], bytes], words: list[str]
) -> None:
    spoiled = source / "b.parquet"
    spoiled.write_bytes(spoil((source / "a.parquet").read_bytes()))
    said(refused(bench.job(HASH, source)), "DataError", str(spoiled), *words)


def test_duplicate_column_names(bench: Bench, source: Path, refused: Refuse) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["user", "user"])
    pq.write_table(twice, source / "a.parquet")
    said(refused(bench.job(HASH, source)), "a.parquet", "two columns are called 'user'")


def test_schemas_that_do_not_fit(bench: Bench, source: Path, refused: Refuse) -> None:
    pq.write_table(pa.table({"user": ["text"]}), source / "b.parquet")
    said(refused(bench.job(HASH, source)), "b.parquet", "'user'", "string", "int64")


# -- the output ------------------------------------------------------------------------------------------------------


def test_output_that_exists(bench: Bench, source: Path, run: Callable[..., Outcome], refused: Refuse) -> None:
    job = bench.job(HASH, source, {"partitions": 2})
    assert run(job).code == 0
    before = sums(bench.out)
    said(refused(job), "OutputExists", str(bench.out), "onExisting: Overwrite")
    assert sums(bench.out) == before


def test_output_that_is_not_ours(bench: Bench, source: Path, refused: Refuse) -> None:
    """Overwrite replaces what a shuffle wrote, and nothing else."""
    bench.out.mkdir()
    (bench.out / "thesis.tex").write_text("years of work")
    said(refused(bench.job(HASH, source, {"onExisting": "Overwrite"})), "OutputExists", "thesis.tex")


def test_output_that_is_a_file(bench: Bench, source: Path, refused: Refuse) -> None:
    bench.out.write_text("a file")
    said(refused(bench.job(HASH, source)), str(bench.out), "is a file")


@pytest.mark.parametrize(
    ("out", "words"), [("in", "is the input"), ("in/out", "inside the input"), (".", "around the input")]
)
def test_output_in_the_way_of_the_input(bench: Bench, source: Path, refused: Refuse, out: str, words: str) -> None:
    said(refused(bench.job(HASH, source, {"path": str(bench.root / out)})), "output.path", words)


# -- the means -------------------------------------------------------------------------------------------------------


def test_too_little_memory(bench: Bench, source: Path, refused: Refuse) -> None:
    pq.write_table(pa.table({"user": [1, 2], "text": ["x" * (24 << 20)] * 2}), source / "a.parquet")
    said(refused(bench.job(HASH, source)), "OutOfMemory", "300.0 MiB", "need")


def test_too_little_scratch(bench: Bench, source: Path, refused: Refuse) -> None:
    """A file of a few hundred kilobytes that is 600 GB in memory."""
    rows = 10_000_000
    text = pa.DictionaryArray.from_arrays(zeros(rows), ["x" * 60_000])
    table = pa.table({"user": zeros(rows), "text": text})
    with pq.ParquetWriter(source / "a.parquet", table.schema, store_schema=False) as writer:
        writer.write_table(table)
    said(refused(bench.job(HASH, source)), "OutOfDisk", "may be spilled", "are free", str(bench.scratch))


@pytest.mark.parametrize("name", ["in/a.parquet", "absent"])
def test_scratch_that_is_no_folder(bench: Bench, source: Path, refused: Refuse, name: str) -> None:
    said(refused(bench.job(HASH, source), "--scratch", str(bench.root / name)), "--scratch", name)


# -- how it is told --------------------------------------------------------------------------------------------------


def test_the_summary_of_a_refused_job(bench: Bench, source: Path, run: Callable[..., Outcome]) -> None:
    outcome = run(bench.job({"sort": {"by": [{"column": "absent"}]}}, source), "--json")
    assert outcome.code == 2
    summary = json.loads(outcome.out)
    assert (summary["phase"], summary["reason"], summary["refusal"]) == ("Failed", "InvalidSpec", True)
    assert "'absent'" in summary["cause"]


def zeros(rows: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
