"""shuffle-operator itself, through its installed command line: `shuffle run job.yaml`, as a user would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.engines.base import SEED, Engine, Task

MIB = 1 << 20

OPERATIONS: dict[str, dict[str, Any]] = {
    "repartition": {"repartition": {"by": ["id"]}},
    "sort": {"sort": {"by": [{"column": "timestamp"}]}},
    "join": {"join": {"left": "table", "right": "side", "on": ["id"]}},
    "random": {"repartition": {"random": {"seed": SEED}}},
    "newest": {"distinct": {"by": ["id"], "orderBy": [{"column": "timestamp", "order": "Descending"}]}},
    "asOf": {
        "join": {
            "left": "table",
            "right": "side",
            "on": ["id"],
            "type": "AsOf",
            "asOf": {"left": "timestamp", "right": "since"},
        }
    },
    "window": {
        "window": {
            "by": ["id"],
            "orderBy": [{"column": "timestamp"}],
            "compute": {"nr": "row_number()", "total": "sum(x) OVER ROWS UNBOUNDED PRECEDING"},
        }
    },
    "groupBy": {
        "groupBy": {
            "by": ["id"],
            "aggregations": [
                {"function": "sum", "column": "x", "as": "sx"},
                {"function": "mean", "column": "y", "as": "my"},
                {"function": "count", "as": "n"},
            ],
        }
    },
}


def job(task: Task) -> dict[str, Any]:
    """The ShuffleJob for a task. JSON is YAML, so it is written as it is."""
    inputs = [{"name": "table", "path": task.input, "format": "Parquet"}]
    if task.workload in ("join", "asOf"):
        inputs.append({"name": "side", "path": task.side, "format": "Parquet"})
    return {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": f"benchmark-{task.workload.lower()}"},
        "spec": {
            "operation": OPERATIONS[task.workload],
            "inputs": inputs,
            "output": {"path": task.output, "format": "Parquet", "partitions": task.files, "compression": "Snappy"},
        },
    }


def command(task: Task, python: Path) -> list[str]:
    """The job file goes beside the output, and the command is the one that was installed with this interpreter."""
    beside = python.parent / "shuffle"
    found = str(beside) if beside.exists() else shutil.which("shuffle")
    if found is None:
        raise FileNotFoundError(
            "no `shuffle` command is installed; run `pip install .` in the environment of this benchmark"
        )
    file = Path(task.output).parent / "job.yaml"
    file.write_text(json.dumps(job(task), indent=2))
    memory = f"{task.memory // task.cores // MIB}Mi"
    options = ["--workers", str(task.cores), "--memory", memory, "--scratch", task.scratch, "--json"]
    return [found, "run", str(file), *options]


def spilled(stdout: str) -> int | None:
    """`bytes_spilled` of the JSON summary, which is the last thing on standard output; None where there is none."""
    start = stdout.find("{")
    try:
        summary = json.loads(stdout[start:]) if start >= 0 else {}
    except ValueError:
        return None
    value = summary.get("bytes_spilled")
    return value if isinstance(value, int) else None


ENGINE = Engine("shuffle", None, command, None, ("shuffle-operator", "pyarrow", "aiohttp"), spilled)
