"""Modules of a made-up user, written to a folder, and processes that call their functions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from shuffle_worker.functions.host import Host, Setup
from shuffle_worker.functions.sources import ImportPath

MIB = 1 << 20
ROWS = pa.record_batch({"k": [0, 0, 1, 1, 1, 2], "v": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]})
ENDS = [2, 5, 6]


def module(folder: Path, name: str, text: str) -> Path:
    """Write `name.py`; imports of Arrow and typing are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    head = "from __future__ import annotations\nimport pyarrow as pa\nfrom collections.abc import Iterator\n"
    path.write_text(head + textwrap.dedent(text))
    return path


@contextmanager
def calling(
    folder: Path,
    function: str,
    wanted: pa.Schema | None = None,
    rows: pa.Schema = ROWS.schema,
    memory: int = 300 * MIB,
    seconds: float = 0,
    gpu: bool = False,
) -> Iterator[Host]:
    place = ImportPath(str(folder), "the test's folder", last=True)
    host = Host(Setup(function, [place], rows, wanted, memory, seconds, gpu=gpu))
    try:
        yield host
    finally:
        host.close()


def wanted_anyway() -> None:
    """A lease that nobody takes away."""


def called(host: Host, rows: pa.RecordBatch = ROWS, ends: list[int] = ENDS) -> pa.Table:
    batches = list(host.call(iter([rows]), ends, wanted_anyway))
    return pa.Table.from_batches(batches)
