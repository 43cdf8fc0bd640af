"""What every engine is asked to do, and what the harness needs to know of an engine.

The peers' modules are run twice over: imported by the harness, for their `ENGINE`, and executed as a program
(`python -m benchmarks.engines.NAME TASK`) by the interpreter of an environment of their own. So these modules, and this
one, import nothing but the standard library at the top; the engine itself is imported inside `run`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

GB = 1_000_000_000
WORKLOADS = ("repartition", "sort", "join", "groupBy", "random", "newest", "asOf", "window")
SEED = 42


@dataclass(frozen=True)
class Task:
    """One job for one engine.

    workload  into `files` snappy Parquet files:
              "repartition": hash by `id`; "sort": globally by `timestamp`; "join": inner, with the side table on `id`;
              "groupBy": by `id`, sum of x as `sx`, mean of y as `my`, count as `n`;
              "random": every row at a random place of the whole output;
              "newest": of each `id` the row with the largest `timestamp`, whole;
              "asOf": every row with `since` and `price` of the last quote of its `id` at or before its `timestamp`;
              "window": every row with `nr`, its number among those of its `id` by `timestamp`, and `total`, the sum of
              x up to it
    input     folder of the Parquet files to read
    side      folder of the side table's Parquet files; of an as-of join, the quotes'
    output    folder to write; its parent exists, itself it does not
    scratch   empty folder, on the same disk, for everything temporary; what lies in it is counted as spilled
    rows      rows of the input, for engines that cut files by rows
    files     how many files to write
    memory    bytes that the whole process tree may use
    cores     threads or single-threaded workers to use
    """

    workload: str
    input: str
    side: str
    output: str
    scratch: str
    rows: int
    files: int
    memory: int
    cores: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Engine:
    """How the harness starts an engine and what it calls it.

    name          on the command line and in the table
    memory        default limit of its whole process tree, bytes; None: workers times `--memory`
    command       the program's argument list for a task, given the interpreter to run it with
    requirements  the file beside this folder that lists what its own environment needs; None: it runs in ours
    packages      the distributions whose versions go into the results
    summary       bytes spilled as the engine itself reports them on its standard output, where it does
    note          what a reader of the table must know of this engine, by workload
    workloads     those that it has a way to do
    """

    name: str
    memory: int | None
    command: Callable[[Task, Path], list[str]]
    requirements: str | None
    packages: tuple[str, ...]
    summary: Callable[[str], int | None] | None = None
    note: Callable[[str], str] = lambda _workload: ""
    workloads: tuple[str, ...] = WORKLOADS


def program(module: str) -> Callable[[Task, Path], list[str]]:
    """The command that runs `module` as a program with the task as its only argument."""
    return lambda task, python: [str(python), "-m", module, task.to_json()]


def main(run: Callable[[Task], None]) -> None:
    """What such a module does when it is the program."""
    run(Task.from_json(sys.argv[1]))
