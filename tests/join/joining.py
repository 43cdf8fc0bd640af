"""Joins from files to tables in this process: planned, read, split and written as workers do it, and DuckDB beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.operations.memory_shards import MemoryFiles, MemorySource

from shuffle_protocol.jobs import Input, Job, Join, Output, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.operations.join import strategy
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.readers import readers_for
from shuffle_worker.readers.mapped import MappedReader
from shuffle_worker.steps.operation import Given, in_pieces
from shuffle_worker.storage import LocalStorage

MEMORY = 512 << 20
LOCAL = LocalStorage()


def join(how: str = "Inner", on: Sequence[str] = ("k",), right_on: Sequence[str] = (), **more: Any) -> Join:
    return Join(how, 0, 1, list(on), list(right_on or on), **more)


def written(folder: Path, table: pa.Table, files: int = 1, row_group_size: int = 1000) -> Path:
    """The table's rows in several files, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(files):
        first, end = table.num_rows * at // files, table.num_rows * (at + 1) // files
        pq.write_table(table.slice(first, end - first), folder / f"{at:03d}.parquet", row_group_size=row_group_size)
    return folder


def job_of(
    folder: Path,
    operation: Join,
    partitions: int = 3,
    sort_within: Sequence[str] = (),
    filters: tuple[str, str] = ("", ""),
    columns: tuple[list[str] | None, list[str] | None] = (None, None),
    memory: int = MEMORY,
) -> Job:
    """A join of `folder`/left and `folder`/right."""
    return Job(
        uid="test-uid",
        name="test",
        operation=operation,
        inputs=[
            Input([str(folder / name)], name=name, filter=filters[at], columns=columns[at])
            for at, name in enumerate(("left", "right"))
        ],
        output=Output(
            str(folder / "out"),
            partitions=partitions,
            compression="Snappy",
            sort_within=[SortKey(name) for name in sort_within],
        ),
        workers=2,
        memory=memory,
    )


def planned(job: Job, broadcast: int = 0) -> Plan:
    """broadcast: bytes of the largest side that is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategy, "BROADCAST_BYTES", broadcast)
        return make_plan(job, Budgets.for_limit(job.memory), [LOCAL] * len(job.inputs), LOCAL)


class Joined(NamedTuple):
    """files: their bytes by name. source: what was sent."""

    plan: Plan
    files: MemoryFiles
    source: MemorySource

    @property
    def table(self) -> pa.Table:
        return pa.concat_tables(self.files.tables())


def carried_out(
    plan: Plan,
    buckets: int = 0,
    memory: int = 64 << 20,
    scratch: Path | None = None,
    batch_rows: int = 700,
    batch_bytes: int = 1 << 20,
) -> Joined:
    """buckets: in place of the plan's."""
    if buckets:
        plan = msgspec.structs.replace(plan, layout=Layout(plan.layout.partitions, buckets))
    files, source = MemoryFiles(), MemorySource()
    readers = readers_for(plan, [LOCAL] * len(plan.inputs))
    operation = operation_for(Given(plan, files, scratch, batch_bytes, readers=readers))
    for number, split in enumerate(plan.splits):
        splitter = operation.splitter(None, split.input)
        for rows in readers[split.input].read(split, batch_rows):
            for shards in in_pieces(splitter, rows):
                source.put(number, shards)
        source.put(number, splitter.flush())
    for group in range(plan.layout.groups):
        for result in operation.write(group, source, memory):
            assert result.bytes == len(files.files[result.name])
    for one in readers:
        if isinstance(one, MappedReader):
            one.close()
    return Joined(plan, files, source)


def joined(folder: Path, left: pa.Table, right: pa.Table, operation: Join, **more: Any) -> Joined:
    """more: of `job_of` and of `carried_out`."""
    written(folder / "left", left)
    written(folder / "right", right)
    running = {name: more.pop(name) for name in ("buckets", "scratch", "batch_rows") if name in more}
    broadcast = more.pop("broadcast", 0)
    return carried_out(planned(job_of(folder, operation, **more), broadcast), **running)


def in_duckdb(left: pa.Table, right: pa.Table, query: str) -> pa.Table:
    """The answer to a query over `l` and `r`."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("l", left)
        connection.register("r", right)
        return connection.sql(query).to_arrow_table()


def rows_of(table: pa.Table) -> list[str]:
    """Its rows as text, sorted: equal for equal rows, NaN and all."""
    columns = [column.to_pylist() for column in table.columns]
    return sorted(repr(row) for row in zip(*columns, strict=True)) if columns else []
