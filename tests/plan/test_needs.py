"""What leases are expected to need of a worker's memory, and so what its store has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.plan.jobs import job, plan_of, write

from shuffle_protocol.jobs import Distinct, Repartition, Sort, SortKey
from shuffle_protocol.memory import HEADROOM, MIB, MINIMUM, Budgets
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.needs import BATCHES, ENCODED
from shuffle_worker.steps.operation import batch_bytes_of
from shuffle_worker.steps.splitter import batch_rows

GIB = 1 << 30
SORT = Sort([SortKey("x")])


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 MB."""
    folder = tmp_path_factory.mktemp("needs")
    rows = 2_000_000
    write(folder, {"a.parquet": pa.table({"x": np.zeros(rows), "y": np.zeros(rows, np.int64)})}, row_group_size=200_000)
    return folder


def planned(folder: Path, operation: Any, memory: int = GIB, **changes: Any) -> Plan:
    return plan_of(job(folder, operation, memory=memory, partitions=4, **changes))


def budgets_of(plan: Plan) -> Budgets:
    return Budgets.for_limit(plan.job.memory).for_job(plan.summary.reading, plan.summary.writing)


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("limit", [MINIMUM, 300 * MIB, 512 * MIB, GIB, 3 * GIB, 100 * GIB])
def test_whatever_goes_on_at_once_fits(limit: int, slots: int) -> None:
    plain = Budgets.for_limit(limit, slots=slots)
    assert plain.for_job(0, 0) == plain
    working = plain.working
    for reading in (0, 1, working // 3, working, 2 * working):
        for writing in (0, 1, working // 3, working, 2 * working):
            b = plain.for_job(reading, writing)
            free = limit - b.baseline - b.store
            assert b.store >= plain.store
            assert b.send + b.receive + HEADROOM * slots * b.reading <= free
            assert 2 * b.frame + HEADROOM * slots * b.writing <= free
            assert b.reading <= b.writing, "reading beside writing takes no more than writing does"
            assert b.reading >= min(reading or working, working)
            assert b.writing >= min(writing or working, working)


@pytest.mark.parametrize("operation", [Repartition(["x"]), SORT, Distinct(["x"])])
def test_a_store_has_most_of_a_large_worker(numbers: Path, operation: Any) -> None:
    plan = planned(numbers, operation)
    plain = Budgets.for_limit(GIB)
    assert 0 < plan.summary.reading < plain.working / 2
    assert budgets_of(plan).store > 1.5 * plain.store


@pytest.mark.parametrize(
    ("operation", "changes", "known"),
    [
        (Repartition(["x"]), {}, (True, True)),
        (Repartition(), {"sort_within": [SortKey("y")]}, (True, True)),
        (SORT, {}, (True, True)),
        (Distinct(["x"]), {}, (True, False)),
        (Repartition(), {"partition_by": ["y"]}, (False, False)),
        (Repartition(), {"method": "ObjectStore"}, (False, False)),
    ],
)
def test_what_is_not_known_is_all_of_it(
    numbers: Path, operation: Any, changes: dict[str, Any], known: tuple[bool, bool]
) -> None:
    plan = planned(numbers, operation, **changes)
    assert (plan.summary.reading > 0, plan.summary.writing > 0) == known
    if not any(known):
        assert budgets_of(plan) == Budgets.for_limit(GIB)


@pytest.mark.parametrize("operation", [Repartition(["x"]), SORT])
@pytest.mark.parametrize("memory", [512 * MIB, GIB, 4 * GIB])
def test_usual_batches_buckets_and_row_groups_are_not_cut(numbers: Path, operation: Any, memory: int) -> None:
    """So a job with more room in its store is no slower for it."""
    plan = planned(numbers, operation, memory)
    budgets = budgets_of(plan)
    row_bytes = plan.inputs[0].row_bytes
    rows = batch_rows(plan.layout.buckets, row_bytes, batch_bytes_of(budgets))
    assert rows == batch_rows(plan.layout.buckets, row_bytes, batch_bytes_of(Budgets.for_limit(memory)))
    assert BATCHES * rows * row_bytes < budgets.reading
    bucket = plan.inputs[0].rows * row_bytes / plan.layout.buckets
    assert bucket < budgets.writing / 4
    assert ENCODED * plan.row_group_rows * row_bytes < budgets.reading, "groups are written by so much, too"


def test_a_plan_is_the_same_for_any_memory(numbers: Path) -> None:
    small, large = (planned(numbers, SORT, memory) for memory in (256 * MIB, 8 * GIB))
    assert (small.summary.reading, small.summary.writing) != (large.summary.reading, large.summary.writing)
    assert small.summary.fingerprint == large.summary.fingerprint
