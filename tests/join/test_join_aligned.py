"""When inputs count as parted alike: what their manifests must say, and what is done when they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.join.joining import carried_out, in_duckdb, job_of, join, planned, rows_of

from shuffle_worker.output.manifest import MANIFEST_FORMAT, FileRecord, Manifest, Partitioning
from shuffle_worker.partitioning.hash import NAME, cells_of
from shuffle_worker.plan.record import Plan

FILES = 4


def parted(folder: Path, table: pa.Table, files: int = FILES, keys: tuple[str, ...] = ("k",), **changes: Any) -> None:
    """The output of a repartition by these keys. changes: of what the manifest says of it."""
    folder.mkdir(exist_ok=True)
    cells = cells_of([table.column(key).combine_chunks() for key in keys], files)
    records = []
    for at in range(files):
        path = folder / f"part-{at:05d}.parquet"
        some = table.filter(pa.array(cells == at))
        pq.write_table(some, path)
        records.append(FileRecord(path.name, some.num_rows, path.stat().st_size, ""))
    says = msgspec.structs.replace(Partitioning("hash", list(keys), files, NAME), **changes)
    manifest = Manifest(MANIFEST_FORMAT, "j", "u", "p", says, [], b"", table.num_rows, 0, records)
    (folder / "_manifest.json").write_bytes(msgspec.json.encode(manifest))


LEFT = pa.table({"k": np.arange(900) % 250, "a": np.arange(900)})
RIGHT = pa.table({"k": pa.array(np.arange(100, 400), pa.int32()), "b": np.arange(300)})


def why(plan: Plan) -> str:
    tree = plan.summary.tree
    assert tree is not None
    return "\n".join(tree.inputs[0].inputs[0].why)


@pytest.mark.parametrize("how", ["Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti"])
def test_file_by_file(tmp_path: Path, how: str) -> None:
    """Also with keys of two widths, for the hash is of values; and with too little memory to hold a file."""
    parted(tmp_path / "left", LEFT)
    parted(tmp_path / "right", RIGHT)
    plan = planned(job_of(tmp_path, join(how), partitions=0, filters=("a != 7", "")))
    assert (plan.layout.partitions, plan.splits, len(plan.aligned)) == (FILES, [], FILES)
    assert "no shuffle" in why(plan)
    found = carried_out(plan)
    kind = {"LeftSemi": "SEMI", "LeftAnti": "ANTI"}.get(how, how.upper())
    query = f"SELECT * FROM (SELECT * FROM l WHERE a != 7) l {kind} JOIN r USING (k)"
    assert rows_of(found.table) == rows_of(in_duckdb(LEFT, RIGHT, query))
    assert carried_out(plan, memory=10_000, scratch=tmp_path / "scratch").files.files == found.files.files
    for folder in ("left", "right"):
        (tmp_path / folder / "_manifest.json").unlink()
    shuffled = planned(job_of(tmp_path, join(how), partitions=FILES, filters=("a != 7", "")))
    assert shuffled.aligned == []
    assert carried_out(shuffled).files.files == found.files.files


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ({"files": 5}, "into 4 and 5 files"),
        ({"keys": ("b",)}, "shuffled: right"),
        ({"method": "range"}, "shuffled: right"),
        ({"hash": "another-hash/1"}, "shuffled: right"),
    ],
)
def test_what_is_not_alike_is_shuffled(tmp_path: Path, right: dict[str, Any], said: str) -> None:
    parted(tmp_path / "left", LEFT)
    parted(tmp_path / "right", RIGHT, **right)
    plan = planned(job_of(tmp_path, join(), partitions=FILES))
    assert plan.aligned == []
    assert said in why(plan)
    assert carried_out(plan).table.num_rows == 4 * 50 + 3 * 100


def test_other_files_than_the_manifest_says(tmp_path: Path) -> None:
    parted(tmp_path / "left", LEFT)
    parted(tmp_path / "right", RIGHT)
    more = pq.read_table(tmp_path / "right" / "part-00002.parquet")
    pq.write_table(pa.concat_tables([more, more]), tmp_path / "right" / "part-00002.parquet")
    plan = planned(job_of(tmp_path, join(), partitions=FILES))
    assert plan.aligned == []
    assert "right has other files than its _manifest.json says" in why(plan)


def test_another_number_of_files_is_asked_for(tmp_path: Path) -> None:
    parted(tmp_path / "left", LEFT)
    parted(tmp_path / "right", RIGHT)
    plan = planned(job_of(tmp_path, join(), partitions=7))
    assert plan.layout.partitions == 7
    assert "and 7 are asked for" in why(plan)
