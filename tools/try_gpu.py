"""Tries `backend: Gpu` with the real libraries: `python tools/try_gpu.py`, on a machine with a GPU.

For each of cuDF, CuPy and PyTorch that is installed it runs two jobs, a `map` and a `groupBy` with `apply`, whose
functions see for themselves that they are given what is on the GPU, and compares their outputs with the same worked out
by Arrow. Ends with 0 where all that could be tried was right, with 1 where something was not, with 2 where nothing
could be tried.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shuffle_worker.functions.gpu import why_none

PROGRAM = "from shuffle_local.cli.main import main; main()"
ROWS = 200_000
FUNCTIONS = {
    "cudf": """
import cudf

def mapped(rows):  # without an annotation: what backend: Gpu gives
    assert type(rows) is cudf.DataFrame, type(rows)
    rows["double"] = rows["v"] * 2
    return rows[rows["k"] % 3 != 0]

def applied(rows: cudf.DataFrame) -> cudf.DataFrame:
    return cudf.DataFrame({"g": rows["g"].iloc[:1], "total": [float(rows["v"].sum())]})
""",
    "cupy": """
import cupy

def mapped(rows: dict[str, cupy.ndarray]):
    assert all(type(one) is cupy.ndarray for one in rows.values())
    keep = rows["k"] % 3 != 0
    return {**{name: one[keep] for name, one in rows.items()}, "double": rows["v"][keep] * 2}

def applied(rows: dict[str, cupy.ndarray]):
    return {"g": rows["g"][:1], "total": rows["v"].sum().reshape(1)}
""",
    "torch": """
import torch

def mapped(rows: dict[str, torch.Tensor]):
    assert all(one.is_cuda for one in rows.values())
    keep = rows["k"] % 3 != 0
    return {**{name: one[keep] for name, one in rows.items()}, "double": rows["v"][keep] * 2}

def applied(rows: dict[str, torch.Tensor]):
    return {"g": rows["g"][:1], "total": rows["v"].sum().reshape(1)}
""",
}
"""By the library: a module with a function for each of the two jobs."""


def main() -> int:
    why = why_none()
    if why:
        sys.stdout.write(f"here is no GPU: {why}\n")
        return 2
    there = [name for name in FUNCTIONS if importlib.util.find_spec(name) is not None]
    if not there:
        sys.stdout.write(f"none of {', '.join(FUNCTIONS)} is installed\n")
        return 2
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        rows = pa.table(
            {"k": np.arange(ROWS), "g": random.integers(0, 1_000, ROWS), "v": random.integers(0, 100, ROWS) * 0.5}
        )
        (folder / "in").mkdir()
        pq.write_table(rows, folder / "in/rows.parquet", row_group_size=50_000)
        for library in there:
            for kind in ("mapped", "applied"):
                problem = tried(folder, library, kind, rows)
                sys.stdout.write(f"{library:6} {kind:8} {problem or 'as it should be'}\n")
                wrong += bool(problem)
    return 1 if wrong else 0


def tried(folder: Path, library: str, kind: str, rows: pa.Table) -> str:
    """What was wrong with a job; "" for nothing."""
    (folder / f"on_{library}.py").write_text(FUNCTIONS[library], encoding="utf-8")
    job, out = folder / f"{library}-{kind}.yaml", folder / f"{library}-{kind}"
    function = f"on_{library}:{kind}"
    mapped = kind == "mapped"
    spec = {
        "backend": "Gpu",
        "operation": {"sort": {"by": [{"column": "k"}]}} if mapped else {"groupBy": {"by": ["g"], "apply": function}},
        "inputs": [{"path": str(folder / "in"), **({"map": function} if mapped else {})}],
        "output": {"path": str(out), "partitions": 2},
    }
    head = {"apiVersion": "shuffle-operator.dev/v1alpha1", "kind": "ShuffleJob", "metadata": {"name": "on-a-gpu"}}
    job.write_text(yaml.safe_dump({**head, "spec": spec}), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, "run", str(job), "--workers", "2", "--memory", "6Gi"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=dict(os.environ), check=False)
    if done.returncode:
        return done.stderr.strip()[-2000:]
    found = pa.concat_tables(pq.read_table(file) for file in sorted(out.glob("part-*.parquet")))
    k, g, v = (rows[name].to_numpy() for name in ("k", "g", "v"))
    if mapped:
        keep = k % 3 != 0
        right = found["k"].to_pylist() == k[keep].tolist() and found["double"].to_pylist() == (v[keep] * 2).tolist()
    else:
        totals = np.bincount(g, v).tolist()
        right = dict(zip(found["g"].to_pylist(), found["total"].to_pylist(), strict=True)) == dict(enumerate(totals))
    return "" if right else "other rows than Arrow has"


if __name__ == "__main__":
    sys.exit(main())
