"""Jobs and inputs for the tests of plan and readers: written in a line, planned as a worker would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_protocol.jobs import Input, Job, Output, Repartition, Sort, StorageOptions
from shuffle_protocol.memory import Budgets
from shuffle_worker.columns.schema import restore
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.readers import reader_for
from shuffle_worker.storage import storage_for

MEMORY = 512 << 20


def job(folder: Path | str, operation: Repartition | Sort | None = None, **changes: Any) -> Job:
    """A job on `folder`/in (or `paths`), writing to `folder`/out. changes: of the job, its input or its output."""
    fields = {
        "input": {
            name: changes.pop(name)
            for name in ("columns", "filter", "format", "schema", "csv", "reader", "base_path", "map", "map_schema")
            if name in changes
        },
        "output": {
            name: changes.pop(name)
            for name in ("partitions", "target_bytes", "sort_within", "overwrite", "compression", "partition_by")
            if name in changes
        },
    }
    paths = changes.pop("paths", [f"{folder}/in"])
    out = changes.pop("out", f"{folder}/out")
    storage = changes.pop("storage", StorageOptions())
    return Job(
        uid="test-uid",
        name="test",
        operation=operation or Repartition(),
        inputs=[Input(paths=paths, storage=storage, **fields["input"])],
        output=Output(path=out, storage=storage, **fields["output"]),
        workers=changes.pop("workers", 2),
        memory=changes.pop("memory", MEMORY),
        **changes,
    )


def plan_of(one: Job, **options: Any) -> Plan:
    sources = [storage_for(source.paths[0], source.storage) for source in one.inputs]
    target = storage_for(one.output.path, one.output.storage)
    return make_plan(one, Budgets.for_limit(one.memory), sources, target, **options)


def write(folder: Path, tables: dict[str, pa.Table], row_group_size: int = 1000, **options: Any) -> Path:
    """Parquet files below `folder`/in; a name may have folders."""
    for name, table in tables.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=row_group_size, **options)
    return folder / "in"


def read_all(plan: Plan, batch_rows: int = 700) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.int64]]]:
    """Every row of the plan's splits with the declared types, and the positions."""
    storage = storage_for(plan.job.inputs[0].paths[0], plan.job.inputs[0].storage)
    reader = reader_for(plan, storage)
    schema = plan.arrow_schema()
    batches: list[pa.RecordBatch] = []
    positions: list[Any] = []
    for split in plan.splits:
        for rows in reader.read(split, batch_rows):
            assert rows.batch.num_rows <= batch_rows
            batches.append(restore(rows.batch, schema))
            positions.append(rows.all_positions())
            assert len(positions[-1]) == rows.batch.num_rows
    table = pa.Table.from_batches(batches, schema=schema)
    table.validate(full=True)
    return table, np.concatenate(positions) if positions else np.zeros(0, np.int64)


def numbers(rows: int, start: int = 0, **more: Any) -> pa.Table:
    """`id` from `start` on, and what else is given."""
    return pa.table({"id": pa.array(range(start, start + rows), pa.int64()), **more})
