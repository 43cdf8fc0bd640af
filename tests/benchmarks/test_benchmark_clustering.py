"""What the benchmark of clustering counts: files that a reader with statistics leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks import clustering


def test_files_are_skipped_by_what_their_footers_say(tmp_path: Path) -> None:
    """Four files of a quarter each by `a`; every one has all of `b`."""
    for number in range(4):
        a = np.arange(number * 1000, (number + 1) * 1000, dtype=np.float64)
        table = pa.table({"a": a, "b": a % 1000, "row": a})
        pq.write_table(table, tmp_path / f"part-{number:05}.parquet", row_group_size=300)
    assert clustering.ends_of(tmp_path / "part-00002.parquet", "a") == (2000.0, 2999.0)
    ordered = np.arange(4000, dtype=np.float64)
    mean, worst = clustering.skipped(tmp_path, "a", ordered)
    assert 0.74 < mean <= 0.75  # one file, and two where a range lies over an edge
    assert worst == 0.5
    assert clustering.skipped(tmp_path, "b", np.sort(ordered % 1000)) == (0.0, 0.0)


def test_the_data_is_the_same_every_time(tmp_path: Path) -> None:
    for name, make in clustering.DATA.items():
        first = clustering.made(tmp_path / f"{name} 1", make, 1000)
        again = clustering.made(tmp_path / f"{name} 2", make, 1000)
        assert all((a == b).all() and (np.diff(a) >= 0).all() for a, b in zip(first, again, strict=True))
        files = [sorted((tmp_path / f"{name} {at}").glob("*.parquet")) for at in (1, 2)]
        assert len(files[0]) == clustering.INPUT_FILES
        assert [one.read_bytes() for one in files[0]] == [one.read_bytes() for one in files[1]]
