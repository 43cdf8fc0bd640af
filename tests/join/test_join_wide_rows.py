"""A few rows a thousand times wider than the mean: pieces of the result end by their bytes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.join.joining import carried_out, job_of, join, planned, written

from shuffle_worker.columns.widths import row_bytes
from shuffle_worker.operations.join.put import Put

WIDTH = 20 << 10
MEMORY = 1 << 20


@pytest.mark.parametrize(("how", "broadcast"), [("Left", 0), ("Left", 1 << 20), ("Full", 0)])
def test_pieces_of_the_result_end_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, broadcast: int
) -> None:
    count = 3000
    wide = range(1000, 1200)
    texts = ["a" * WIDTH if at in wide else "a" for at in range(count)]
    keys = [5 if at in wide else at % 50 for at in range(count)]
    written(tmp_path / "left", pa.table({"k": keys, "text": texts}))
    written(tmp_path / "right", pa.table({"k": [*range(40), 99], "name": [f"n{at}" for at in range(41)]}))
    sizes: list[int] = []
    together = Put.together

    def noted(self: Put, rows: object, others: object) -> pa.RecordBatch:
        made = together(self, rows, others)  # type: ignore[arg-type]
        sizes.append(row_bytes(made))
        return made

    plan = planned(job_of(tmp_path, join(how), partitions=2), broadcast)
    assert bool(plan.broadcast) == bool(broadcast)
    expected = carried_out(plan, batch_bytes=MEMORY)
    monkeypatch.setattr(Put, "together", noted)
    found = carried_out(plan, memory=16 * MEMORY, scratch=tmp_path / "scratch", batch_bytes=MEMORY)
    assert found.files.files == expected.files.files
    assert found.table.num_rows == count + (how == "Full")
    most = MEMORY if broadcast else 16 * MEMORY // 2 // 4
    assert sum(sizes) > 200 * WIDTH
    assert max(sizes) <= most
