"""Text in ranges and folders of values, through a store that only answers ranged requests."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused
from tests.storage.s3_server import BUCKET, open_s3

from shuffle_protocol.errors import OutputExists
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.readers import text
from shuffle_worker.storage import storage_for

VALUES = ["DE", "a b/c", "100%", "ünï=1", ""]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with open_s3() as address:
        yield address


def test_csv_to_folders_and_back(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PART", 1500)
    monkeypatch.setattr(text, "REMOTE_BLOCK", 1 << 16)
    reached = {"endpoint": address}
    root = f"s3://{BUCKET}/formats"
    storage = storage_for(root, StorageOptions(endpoint=address))
    rows = "".join(f'{n},"{VALUES[n % 5]}","two\nlines {n}"\n' for n in range(120))
    storage.put(f"{root}/in/a.csv", f"row,country,text\n{rows}".encode())
    storage.put(f"{root}/in/b.csv.gz", gzip.compress(b'row,country,text\n120,FR,"x"\n'))
    given = {"path": f"{root}/in/", "storage": reached}
    output = {"path": f"{root}/out", "partitions": 1, "partitionBy": ["country"], "storage": reached}
    job = job_of(given, output)
    assert carry_out(job, tmp_path / "scratch").rows == 121
    names = [info.path for info in storage.listing(f"{root}/out")]
    assert f"{root}/out/country=a b%2Fc/part-00000.parquet" in names
    with refused(OutputExists, "holds"):
        carry_out(job_of(given, output), tmp_path / "scratch")
    carry_out(job_of(given, {**output, "onExisting": "Overwrite"}), tmp_path / "scratch")
    assert [info.path for info in storage.listing(f"{root}/out")] == names
    back = {"path": f"{root}/out/", "storage": reached}
    carry_out(job_of(back, {"path": str(tmp_path / "back"), "partitions": 1}), tmp_path / "scratch")
    found = pq.read_table(next((tmp_path / "back").glob("*.parquet"))).sort_by("row")
    assert found.column("row").to_pylist() == list(range(121))
    assert found.column("country").to_pylist() == [*(VALUES[n % 5] for n in range(120)), "FR"]
    assert found.column("text").to_pylist() == [*(f"two\nlines {n}" for n in range(120)), "x"]
    assert found.schema.field("country").type == pa.string()
