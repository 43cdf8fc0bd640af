"""Try a collection of files: run every one through a job, and compare the rows with what pyarrow reads.

    python tools/try_collection.py FOLDER... [--only TEXT] [--json FILE]

For the public collections apache/parquet-testing, apache/arrow-testing and the examples of apache/orc, and for any
folder of odd files. Each file must come out with the rows that pyarrow reads, or be refused while planning, in one
sentence that names it. What differs is printed as a table, and the exit code is 1:

    differs    complete, and the rows are others
    unread     complete, though pyarrow cannot read it: judge by hand
    internal   a defect of ours
    nameless   the sentence does not name the file
    late       it failed after rows had begun to move
    crashed    a worker crashed, or the job did not end

A file goes by its suffix, and one without by words in its path (`fuzzing` folders have such names). Files of other
kinds are left out. A job has one worker, which is started anew: about a second for each file. pyarrow reads in
processes of its own, for it crashes over some.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shuffle_local.cli.local_job import local_job
from shuffle_local.run import LocalOptions, LocalRun
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.errors import JobError
from shuffle_protocol.messages import Phase

SUFFIXES = {
    ".parquet": "Parquet",
    ".encrypted": "Parquet",
    ".orc": "ORC",
    ".arrow_file": "Feather",
    ".arrow": "Feather",
    ".feather": "Feather",
    ".stream": "Feather",
    ".arrows": "Feather",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
}
WORDS = {"parquet": "Parquet", "ipc": "Feather", "arrow": "Feather", "orc": "ORC"}
PATIENCE = 120.0
"""Seconds for one job."""

MEMORY = 1 << 30
MOST_ROWS = 2_000_000
"""Rows of which every one is compared; of more only their number."""


class Verdict(NamedTuple):
    """kind: "equal", "refused" or what the module's docstring lists."""

    path: str
    kind: str
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--only", default="", help="files whose path has this text")
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    arguments = parser.parse_args()
    files = [one for folder in arguments.folders for one in found(folder) if arguments.only in str(one[0])]
    verdicts: list[Verdict] = []
    for number, (path, kind) in enumerate(files, 1):
        verdict = tried(path, kind)
        verdicts.append(verdict)
        line = f"{number}/{len(files)} {verdict.kind:9} {verdict.path}: {verdict.said}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([one._asdict() for one in verdicts], indent=1))
    return report(verdicts)


def report(verdicts: list[Verdict]) -> int:
    counts = Counter(one.kind for one in verdicts)
    wrong = [one for one in verdicts if one.kind not in ("equal", "refused")]
    for one in sorted(wrong, key=lambda one: (one.kind, one.path)):
        print(f"{one.kind:9} {one.path}: {one.said}")  # noqa: T201
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))  # noqa: T201
    return 1 if wrong or not verdicts else 0


def found(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        kind = kind_of(path) if path.is_file() else None
        if kind is not None:
            yield path, kind


def kind_of(path: Path) -> str | None:
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is not None or "." in path.name:
        return kind
    names = [part for part in path.parts if any(word in part for word in ("fuzz", "ipc", "parquet", "orc"))]
    return next((WORDS[word] for part in reversed(names) for word in WORDS if word in part), None)


def tried(path: Path, kind: str) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="try-collection-") as folder:
        output = Path(folder) / "out"
        try:
            end = asyncio.run(run(path.absolute(), kind, Path(folder), output))
        except TimeoutError:
            return Verdict(str(path), "crashed", f"the job did not end within {PATIENCE:.0f} s")
        except JobError as error:
            return Verdict(str(path), "nameless", f"{error.reason}: {error.message}")
        if end.phase is not Phase.COMPLETE:
            return Verdict(str(path), blame(end, str(path)), f"{end.reason}: {end.cause}")
        return Verdict(str(path), *in_process(path, kind, output))


async def run(path: Path, kind: str, folder: Path, output: Path) -> Snapshot:
    job = folder / "job.yaml"
    written = "Feather" if kind == "Feather" else "Parquet"
    spec = {
        "operation": {"repartition": {}},
        "inputs": [{"path": str(path), "format": kind}],
        "output": {"path": str(output), "partitions": 1, "format": written, "compression": "None"},
    }
    document = {"apiVersion": "shuffle-operator.dev/v1alpha1", "kind": "ShuffleJob", "metadata": {"name": "try"}}
    job.write_text(yaml.safe_dump({**document, "spec": spec}))
    local = LocalRun(local_job(job, 1, MEMORY), LocalOptions(scratch=folder / "scratch"))
    return await asyncio.wait_for(local.run(), PATIENCE)


def blame(end: Snapshot, path: str) -> str:
    """What kind of failure it is."""
    if end.reason == "Internal":
        return "internal"
    if end.workers_lost:
        return "crashed"
    if path.rpartition("/")[2] not in end.cause:
        return "nameless"
    return "refused" if end.refusal else "late"


# -- what pyarrow says ------------------------------------------------------------------------------------------------


def in_process(path: Path, kind: str, output: Path) -> tuple[str, str]:
    """The comparison, in a process of its own. Returns kind and sentence."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_compare, args=(path, kind, output, theirs))
    process.start()
    theirs.close()
    try:
        found: tuple[str, str] = ours.recv() if ours.poll(PATIENCE) else ("unread", "pyarrow did not end")
    except EOFError:
        found = ("unread", "pyarrow crashed")
    process.kill()
    process.join()
    return found


def _compare(path: Path, kind: str, output: Path, answer: Any) -> None:
    try:
        types = written(output, kind).schema if kind == "CSV" else None
        expected = read(path, kind, types)
    except Exception as error:
        answer.send(("unread", f"pyarrow: {type(error).__name__}: {str(error).splitlines()[0][:200]}"))
        return
    try:
        answer.send(difference(expected, written(output, kind)))
    except Exception as error:
        answer.send(("differs", f"the output cannot be compared: {type(error).__name__}: {error}"))


def read(path: Path, kind: str, types: pa.Schema | None = None) -> pa.Table:
    """types: of the columns, where the format does not say; else what pyarrow guesses."""
    if kind == "Parquet":
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read()
    if kind == "ORC":
        from pyarrow import orc

        return orc.ORCFile(path).read()
    if kind == "Feather":
        return read_ipc(path)
    if kind == "CSV":
        return read_csv(path, types)
    from pyarrow import json as arrow_json

    return arrow_json.read_json(path)


def read_csv(path: Path, types: pa.Schema | None) -> pa.Table:
    from pyarrow import csv

    options = csv.ConvertOptions(strings_can_be_null=True, column_types=types)
    try:
        return csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        if types is not None and "Empty CSV file" in str(error):  # a header without a line end is no table to it
            return types.empty_table()
        raise


def read_ipc(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


def written(output: Path, kind: str) -> pa.Table:
    parts = sorted(output.glob("part-*"))
    return pa.concat_tables([read(part, "Feather" if kind == "Feather" else "Parquet") for part in parts])


def difference(expected: pa.Table, actual: pa.Table) -> tuple[str, str]:
    if expected.column_names != actual.column_names:
        return "differs", f"columns {expected.column_names} came out as {actual.column_names}"
    if expected.num_rows != actual.num_rows:
        return "differs", f"{expected.num_rows:,} rows came out as {actual.num_rows:,}"
    if expected.num_rows > MOST_ROWS:
        return "equal", f"{expected.num_rows:,} rows, counted"
    for name, before, after in zip(expected.column_names, expected.columns, actual.columns, strict=True):
        if before.type == after.type and before.equals(after):
            continue
        for row, (one, other) in enumerate(zip(values(before), values(after), strict=True)):
            if one != other:
                what = f"{str(one)[:80]!r} ({before.type}) came out as {str(other)[:80]!r} ({after.type})"
                return "differs", f"column {name!r}, row {row}: {what}"
    return "equal", f"{expected.num_rows:,} rows"


def values(column: pa.ChunkedArray) -> Iterator[Any]:
    """A column's values so that equal ones compare equal whatever the type that holds them."""
    for chunk in column.chunks:
        for scalar in chunk:
            yield plain(scalar)


def plain(scalar: Any) -> Any:
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.ExtensionScalar):
        return plain(scalar.value)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain(scalar.value) if pa.types.is_dictionary(kind) else scalar.as_py()
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        units = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
        return scalar.value * units[kind.unit]
    if pa.types.is_struct(kind):
        return {name: plain(value) for name, value in scalar.items()}
    if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return None if scalar.values is None else [plain(one) for one in scalar.values]
    found = scalar.as_py()
    return "NaN" if isinstance(found, float) and math.isnan(found) else found


if __name__ == "__main__":
    sys.exit(main())
