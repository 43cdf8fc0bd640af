"""Inputs whose rows go through a function of a made-up user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.functions.users import module
from tests.groupby.in_process import write_table

from shuffle_protocol.jobs import AnyOperation, CodeSource, Functions, Input, Job, Output
from shuffle_worker.plan.record import Plan

MIB = 1 << 20
ROWS = 3_000
CALL = 300
"""Rows of a call, where a test has several of each part of a file."""

FUNCTIONS = """
import os, signal, sys, time
import numpy as np
import pyarrow.compute as pc

CALLS = 0

def whole(rows: pa.Table):
    return rows

def kept(rows: pd.DataFrame) -> pd.DataFrame:  # imported by nobody here
    rows["double"] = rows["v"] * 2
    return rows[rows["k"] % 3 != 0]

def exploded(rows: pa.Table) -> pa.Table:
    times = (rows["k"].to_numpy() % 4).astype("int64")
    return rows.take(np.repeat(np.arange(len(rows)), times))

def with_batch(rows: pa.Table) -> pa.Table:
    # what else is in the batch shows in every row
    return rows.append_column("of", pa.array([len(rows)] * len(rows), pa.int64())).append_column(
        "mean", pa.array([pc.mean(rows["v"]).as_py()] * len(rows)))

def backwards(rows: pa.Table) -> pa.Table:
    return rows.take(np.arange(len(rows))[::-1])

def streamed(batches: Iterator[pa.RecordBatch]):
    seen = 0
    for batch in batches:
        yield batch.append_column("seen", pa.array(range(seen, seen + len(batch)), pa.int64()))
        seen += len(batch)

def other_key(rows: pa.Table) -> pa.Table:
    return pa.table({"key": pc.multiply(rows["k"], -1), "name": rows["s"]})

def nothing(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 0)

def fails(rows):
    if pc.any(pc.less(rows["k"], 100)).as_py():
        raise ValueError("no sevens, please")
    return rows

def column(rows):
    return rows["missing"]

def one_value(rows):
    return 3

def no_table(rows):
    return None

def other_columns(rows):
    return pa.table({"x": [1.5] * len(rows)})

def unlike(rows):
    global CALLS
    CALLS += 1
    return pa.table({f"c{CALLS}": [1]})

def all_null(rows):
    return pa.table({"a": pa.nulls(len(rows))})

def without_columns(rows):
    return pa.table({})

def twice(rows):
    return pa.Table.from_arrays([rows["k"], rows["k"]], names=["k", "k"])

def unions(rows):
    kind = pa.array([0] * len(rows), pa.int8())
    return pa.table({"u": pa.UnionArray.from_sparse(kind, [rows["k"].combine_chunks()])})

def exits(rows):
    sys.exit(3)

def leaves(rows):
    os._exit(3)

def crashes(rows):
    os.kill(os.getpid(), signal.SIGSEGV)

def hangs(rows):
    time.sleep(60)

def hungry(rows):
    return [bytearray(1 << 20) for _ in range(2000)]

def prints(rows):
    print("a line of its own")
    return rows

def two_parameters(rows, path):
    return rows

def odd(rows: dict[str, int]):
    return rows

async def later(rows):
    return rows
"""


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    module(folder, "mine", FUNCTIONS)
    (folder / "broken.py").write_text("import not_there_at_all\n")
    return folder


def table(rows: int = ROWS) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table(
        {
            "k": pa.array(random.permutation(rows), pa.int64()),
            "v": random.standard_normal(rows),
            "s": pa.array([f"name {number}" for number in random.integers(0, 50, rows)]),
        }
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three files of one, two and three row groups of up to 500 rows, and one without a row."""
    path = tmp_path_factory.mktemp("in")
    write_table(path, table(), files=3, row_group=400)
    return str(path)


Mapped = Callable[..., Job]


@pytest.fixture(scope="session")
def mapped(code: Path, folder: str) -> Mapped:
    def made(
        function: str, operation: AnyOperation, partitions: int = 2, *, seconds: float = 60.0, memory: int = 512 * MIB,
        functions: int = 200 * MIB, **source: Any,
    ) -> Job:  # fmt: skip
        functions_ = Functions([CodeSource(str(code), name="the test's folder", last=True)], functions, seconds)
        paths = source.pop("paths", [folder])
        return Job(
            "uid", "job", operation, [Input(paths, map=function, **source)],
            Output("/nowhere/out", partitions=partitions, compression="Snappy"), 1, memory, functions=functions_,
        )  # fmt: skip

    return made


def with_calls_of(plan: Plan, rows: int = CALL) -> Plan:
    """The plan with calls of so many rows."""
    return msgspec.structs.replace(plan, inputs=[msgspec.structs.replace(one, call_rows=rows) for one in plan.inputs])


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    from tests.functions.conftest import running

    before = set(running())
    yield
    assert not set(running()) - before
