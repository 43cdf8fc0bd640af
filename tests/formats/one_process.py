"""A whole job in this process: planned, read, moved, written and committed by the worker's own code, with neither
network nor coordinator. For tests of what goes in and what comes out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from tests.operations.memory_shards import MemorySource

from shuffle_operator.api.resolve import resolve
from shuffle_operator.api.validation import load_job
from shuffle_protocol.errors import JobError
from shuffle_protocol.jobs import Job
from shuffle_protocol.memory import Budgets
from shuffle_worker.tables.work import Tasks
from shuffle_worker.transfer.work import Committed, WorkSetup

MIB = 1 << 20
MEMORY = 512 * MIB
UIDS = itertools.count()


def job_of(
    source: Mapping[str, Any] | Path,
    output: Mapping[str, Any],
    operation: Mapping[str, Any] | None = None,
    *,
    memory: int = MEMORY,
    code: Path | None = None,
    inputs: Sequence[Mapping[str, Any]] = (),
) -> Job:
    """The job as a job file would say it. code: a folder, .py, .zip or .whl of the user's modules. inputs: all of them,
    where there are several."""
    given = {"path": str(source)} if isinstance(source, Path) else dict(source)
    document: dict[str, Any] = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": "test"},
        "spec": {
            "operation": dict(operation or {"repartition": {}}),
            "inputs": [dict(one) for one in inputs] or [given],
            "output": dict(output),
        },
    }
    if code is not None:
        document["spec"]["functions"] = {"sources": [{"path": str(code)}]}
    return resolve(load_job(yaml.safe_dump(document)), uid=f"test-{next(UIDS)}", workers=1, memory=memory)


def carry_out(job: Job, scratch: Path) -> Committed:
    """Leaves nothing of the output where it fails, as a coordinator would see to."""
    scratch.mkdir(exist_ok=True)
    tasks = Tasks(WorkSetup(Budgets.for_limit(job.memory, functions=job.functions.memory), scratch))
    try:
        summary = tasks.plan(job)
        tasks.load(job, summary.fingerprint)
        source = MemorySource()
        read = 0
        for split in reversed(range(len(summary.split_bytes))):
            for step in tasks.read(split, None):
                source.put(split, step.shards)
                read += step.rows
        for group in range(len(summary.group_partitions)):
            tasks.write(group, source)
        return tasks.commit(read if summary.keeps_rows else -1)
    except JobError:
        tasks.abort(job)
        raise


@contextmanager
def refused(kind: type[JobError], *parts: str) -> Iterator[None]:
    """The job fails with that error, whose message says all of this."""
    with pytest.raises(kind) as said:
        yield
    for part in parts:
        assert part in said.value.message, said.value.message


def rows_of(tables: list[pa.Table], by: str = "row") -> list[dict[str, Any]]:
    return pa.concat_tables(tables).sort_by(by).to_pylist()
