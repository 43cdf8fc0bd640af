"""The same plan and rows from S3 as from local files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.plan.jobs import job, numbers, plan_of, read_all, write
from tests.storage.s3_server import BUCKET, open_s3

from shuffle_protocol.errors import OutputExists
from shuffle_protocol.jobs import Sort, SortKey, StorageOptions
from shuffle_worker.plan.persist import load, save
from shuffle_worker.storage import storage_for


@pytest.fixture(scope="module")
def settings() -> Iterator[StorageOptions]:
    with open_s3() as address:
        yield StorageOptions(endpoint=address)


def test_a_sort_is_planned_and_read(tmp_path: Path, settings: StorageOptions) -> None:
    local = write(
        tmp_path,
        {
            f"year={year}/part-{n}.parquet": numbers(500, n, text=pa.array([f"t{k}" for k in range(500)]))
            for year in (2025, 2026)
            for n in range(2)
        },
        row_group_size=100,
    )
    folder = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    storage = storage_for(folder, settings)
    for path in sorted(local.rglob("*.parquet")):
        storage.put(f"{folder}/in/{path.relative_to(local)}", path.read_bytes())
    storage.put(f"{folder}/in/_SUCCESS", b"")

    changes = {"columns": ["id", "year"], "filter": "text > 't3' AND year = 2026", "partitions": 4}
    far_job = job(folder, Sort(by=[SortKey("id")]), storage=settings, **changes)
    far, near = plan_of(far_job), plan_of(job(tmp_path, Sort(by=[SortKey("id")]), **changes))
    assert far.boundaries == near.boundaries
    assert far.splits == near.splits
    assert [file.path.removeprefix(folder) for file in far.files] == [
        file.path.removeprefix(str(tmp_path)) for file in near.files
    ]
    assert read_all(far)[0] == read_all(near)[0]
    assert read_all(far)[1].tolist() == read_all(near)[1].tolist()

    storage.put(f"{folder}/out/part-00000.parquet", b"there")
    with pytest.raises(OutputExists, match="part-00000"):
        plan_of(far_job)
    save(far, storage)
    assert load(storage, far_job, far.summary.fingerprint) == far
