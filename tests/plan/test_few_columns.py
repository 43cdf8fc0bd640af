"""Looks at some columns while planning: only these and the filter's are read, and an error names the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, plan_of

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import Job
from shuffle_worker.expressions.filter import Filter, compile_filter
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import RowGroupRef, first_kept, sample_rows
from shuffle_worker.inputs.reading import FileLook, InputFiles, read_inputs
from shuffle_worker.planning import foldering, planner
from shuffle_worker.readers.parquet_file import ParquetSource
from shuffle_worker.readers.text import TextSource
from shuffle_worker.storage import LocalStorage

NAMES = ["row", "k", "f", "wide"]


@pytest.fixture(params=["parquet", "json", "csv"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Rows of `NAMES`, some thousand different k, f of 0 to 9."""
    rows = [{"row": at, "k": at // 40, "f": at % 10, "wide": "x" * 20} for at in range(100_000)]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"a.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10_000)
    elif request.param == "json":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("\n".join([",".join(NAMES), *(",".join(map(str, row.values())) for row in rows)]))
    return tmp_path


@pytest.mark.parametrize(("condition", "allowed"), [(None, {"k"}), ("f < 9", {"k", "f"})])
def test_folders_are_counted_by_their_columns_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, condition: str | None, allowed: set[str]
) -> None:
    read: set[str] = set()
    counted: list[int] = []
    check = foldering.check_values

    def checked(of: Job, inputs: Sequence[PlannedInput], partitions: int) -> list[str]:
        with monkeypatch.context() as spied:
            for source in (ParquetSource, TextSource):
                spied.setattr(source, "batches", spying(source.batches))
            notes = check(of, inputs, partitions)
            counted.append(foldering._count(inputs[0], of.output.partition_by, 1 << 30))
            return notes

    def spying(batches: Any) -> Any:
        def spy(self: object, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
            read.update(names)
            found: Iterator[pa.RecordBatch] = batches(self, groups, names, rows)
            return found

        return spy

    monkeypatch.setattr(planner, "check_values", checked)
    plan_of(job(folder, partition_by=["k"], filter=condition))
    assert counted == [2_500]
    assert read == allowed


def found_in(folder: Path) -> InputFiles:
    return read_inputs(job(folder).inputs[0], LocalStorage())


def looked_at(found: InputFiles, where: Filter) -> InputFiles:
    look = FileLook(LocalStorage(), found.schema, found.schema, where, frozenset())
    return found._replace(files=[file._replace(asked=look) for file in found.files])


def test_other_columns_are_no_news(folder: Path) -> None:
    """To readers that refuse a field which the plan does not know."""
    found = found_in(folder)
    where = compile_filter("f = 3", found.schema)
    (batch,) = first_kept(looked_at(found, where).files[0], 0, ["k", "k"], 100)
    assert batch.schema.names == ["k", "k"]
    assert batch.column(0).to_pylist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_a_condition_that_fails_names_the_file(folder: Path) -> None:
    found = found_in(folder)
    where = compile_filter("row + 9223372036854775807 > 0", found.schema)
    with pytest.raises(DataError, match=rf"^{found.files[0].info.path}: inputs\[0\]\.filter: .* cannot be worked out"):
        sample_rows(looked_at(found, where).files, [RowGroupRef(0, 0, 0)], ["k"])
