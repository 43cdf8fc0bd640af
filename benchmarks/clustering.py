"""How many files a filter on one column can skip: after a sort, along a Z curve, along a Hilbert curve.

    python -m benchmarks.clustering                     # 1,000,000 rows in 256 files; 2 workers of 512 MiB
    python -m benchmarks.clustering --rows 10_000_000

Each job is a whole run of `shuffle run`. Then the smallest and the largest value of each file are read from its footer,
as a reader with statistics does, and for 200 ranges of 0.5 % of the rows, evenly spread over a column, it is counted
which files cannot have a row in them. `mean` and `worst` are of these ranges; a sort goes by `a`, then `b`. Seconds are
processor time of all processes, start-up included.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]

INPUT_FILES = 8
RANGES = 200
SHARE = 0.005
COLUMNS = ("a", "b")


def uniform(random: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    return random.random(rows), random.random(rows)


def lognormal(random: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    return random.lognormal(0, 2, rows), random.lognormal(0, 2, rows)


def correlated(random: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    first = random.random(rows)
    return first, first + 0.05 * random.standard_normal(rows)


DATA: dict[str, Callable[[np.random.Generator, int], tuple[Floats, Floats]]] = {
    "uniform": uniform,
    "lognormal(0, 2)": lognormal,
    "b near a": correlated,
}

JOBS: dict[str, dict[str, Any]] = {
    "sort": {"sort": {"by": [{"column": name} for name in COLUMNS]}},
    "ZOrder": {"cluster": {"by": list(COLUMNS), "curve": "ZOrder"}},
    "Hilbert": {"cluster": {"by": list(COLUMNS)}},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="512Mi", help="for each worker (default: 512Mi)")
    options = parser.parse_args()
    print("| data | job | a: mean | worst | b: mean | worst | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="clustering-") as folder:
        for name, make in DATA.items():
            source = Path(folder) / "in"
            columns = made(source, make, options.rows)
            for job, operation in JOBS.items():
                out = Path(folder) / "out"
                seconds = run(operation, source, out, options)
                figures = [figure for at in range(2) for figure in skipped(out, COLUMNS[at], columns[at])]
                print(f"| {name} | {job} | {' | '.join(f'{one:.3f}' for one in figures)} | {seconds:.1f} |", flush=True)
                shutil.rmtree(out)
            shutil.rmtree(source)
    return 0


def made(folder: Path, make: Callable[[np.random.Generator, int], tuple[Floats, Floats]], rows: int) -> list[Floats]:
    """Writes the rows, and returns each column in order."""
    folder.mkdir()
    columns = make(np.random.default_rng(1), rows)
    table = pa.table({**dict(zip(COLUMNS, columns, strict=True)), "row": np.arange(rows)})
    each = -(-rows // INPUT_FILES)
    for number in range(INPUT_FILES):
        pq.write_table(table.slice(number * each, each), folder / f"{number}.parquet", row_group_size=100_000)
    return [np.sort(column) for column in columns]


def run(operation: dict[str, Any], source: Path, out: Path, options: argparse.Namespace) -> float:
    """Carries the job out; returns the processor time that it took."""
    job = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": "clustering"},
        "spec": {
            "operation": operation,
            "inputs": [{"path": str(source)}],
            "output": {"path": str(out), "partitions": options.files},
        },
    }
    file = out.parent / "job.yaml"
    file.write_text(json.dumps(job))
    program = [sys.executable, "-c", "from shuffle_local.cli.main import main; main()"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*program, "run", str(file), "--quiet", "-w", str(options.workers), "-m", options.memory], check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def skipped(folder: Path, column: str, ordered: Floats) -> tuple[float, float]:
    """The share of files that statistics leave out, on average over the ranges and for the worst of them. ordered: the
    column's values."""
    ends = [ends_of(path, column) for path in sorted(folder.glob("part-*.parquet"))]
    low, high = (np.array(one) for one in zip(*ends, strict=True))
    length = int(len(ordered) * SHARE)
    starts = np.linspace(0, len(ordered) - length - 1, RANGES).astype(int)
    shares = [float(np.mean((high < ordered[at]) | (low > ordered[at + length]))) for at in starts]
    return float(np.mean(shares)), min(shares)


def ends_of(path: Path, column: str) -> tuple[float, float]:
    """The smallest and the largest value that a file's footer gives."""
    metadata = pq.ParquetFile(path).metadata
    at = [metadata.schema.column(number).name for number in range(metadata.num_columns)].index(column)
    found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
    return min(one.min for one in found), max(one.max for one in found)


if __name__ == "__main__":
    sys.exit(main())
