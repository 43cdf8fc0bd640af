"""Carry out a planned job in this process, without a network: the real plan, reader, operation and files, over shards
in memory. Layout, memory and batches can be chosen by a test, for none of them may show in the output."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from tests.operations.memory_shards import MemoryFiles, MemorySource

from shuffle_protocol.jobs import Aggregation, AnyOperation, Input, Job, Output, SortKey
from shuffle_protocol.memory import MIB, Budgets
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.readers import readers_for
from shuffle_worker.readers.mapped import MappedReader
from shuffle_worker.readers.reader import Reader
from shuffle_worker.steps.operation import Given
from shuffle_worker.storage import storage_for


class Cut(NamedTuple):
    """What may not show. buckets: None as the plan has it. memory: of the reduce side. batch_rows: of the reader.
    batch_bytes: of the map side. backwards: the order in which splits are read."""

    buckets: int | None = None
    memory: int = 64 * MIB
    batch_rows: int = 1 << 16
    batch_bytes: int = 8 * MIB
    backwards: bool = False


def aggregation(function: str, column: str | None = None, name: str = "", **options: Any) -> Aggregation:
    return Aggregation(function, column, name or f"{function}_{column}", **options)


def write_table(folder: Path, table: pa.Table, files: int = 1, row_group: int = 1000) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-max(table.num_rows, 1) // files)
    for number in range(files):
        part = table.slice(number * each, each)
        pq.write_table(part, folder / f"{number:03}.parquet", row_group_size=row_group)
    return str(folder)


def job_of(
    folder: str, operation: AnyOperation, partitions: int = 1, sort_within: Sequence[SortKey] = (), **source: Any
) -> Job:
    output = Output("/nowhere/out", partitions=partitions, sort_within=list(sort_within), compression="Snappy")
    return Job(str(uuid.uuid4()), "job", operation, [Input([folder], **source)], output, 1, 512 * MIB)


def planned(job: Job) -> Plan:
    sources = [storage_for(one.paths[0], one.storage) for one in job.inputs]
    return make_plan(job, Budgets.for_limit(job.memory), sources, storage_for(job.output.path, job.output.storage))


def carried_out(
    plan: Plan,
    cut: Cut = Cut(),  # noqa: B008
    scratch: Path | None = None,
    groups: Sequence[int] | None = None,
    reader: Reader | None = None,
) -> MemoryFiles:
    """groups: those that are written; None for all. reader: of the plan's input, where it is made already."""
    if cut.buckets is not None:
        plan = msgspec.structs.replace(plan, layout=Layout(plan.layout.partitions, cut.buckets))
    files = MemoryFiles()
    operation = operation_for(Given(plan, files, scratch, cut.batch_bytes))
    source = MemorySource()
    storages = [storage_for(one.paths[0], one.storage) for one in plan.job.inputs]
    (own,) = readers_for(plan, storages) if reader is None else (reader,)
    splits = list(enumerate(plan.splits))
    try:
        for number, split in reversed(splits) if cut.backwards else splits:
            splitter = operation.splitter(None)
            for rows in own.read(split, cut.batch_rows):
                source.put(number, splitter.add(rows))
            source.put(number, splitter.flush())
    finally:
        if reader is None and isinstance(own, MappedReader):
            own.close()
    wanted = range(plan.layout.groups) if groups is None else groups
    results = [result for group in wanted for result in operation.write(group, source, cut.memory)]
    written = [partition for group in wanted for partition in plan.layout.group_partitions(group)]
    assert [result.partition for result in results] == written
    assert {result.name: result.bytes for result in results} == {n: len(d) for n, d in files.files.items()}
    return files


def table_of(files: MemoryFiles) -> pa.Table:
    return pa.concat_tables(files.tables())


def asked(sql: str, **tables: pa.Table) -> pa.Table:
    """What DuckDB says."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()
