"""What is expected to be spilled, where fewer workers own rows than there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.plan.jobs import job, plan_of, write

from shuffle_protocol.jobs import Repartition
from shuffle_protocol.memory import Budgets

MEMORY = 256 << 20


@pytest.mark.parametrize(("partitions", "owners"), [(1, 1), (3, 3), (8, 4), (100, 4)])
def test_only_stores_of_owners_hold_rows(tmp_path: Path, partitions: int, owners: int) -> None:
    rows = 3_000_000
    write(tmp_path, {"a.parquet": pa.table({"x": np.zeros(rows), "y": np.zeros(rows)})}, row_group_size=rows)
    plan = plan_of(job(tmp_path, Repartition(), partitions=partitions, workers=4, memory=MEMORY))
    store = Budgets.for_limit(MEMORY).for_job(plan.summary.reading, plan.summary.writing).store
    moved = rows * plan.inputs[0].row_bytes
    expected = max(moved - 0.9 * store * owners, 0) * 1.1
    assert plan.summary.scratch_needed == pytest.approx(expected, rel=0.01)
