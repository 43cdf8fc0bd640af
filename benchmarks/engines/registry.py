"""The engines by name, in the order in which they run."""

from __future__ import annotations

from benchmarks.engines import dask_p2p, duckdb_copy, polars_streaming, ray_data, shuffle_run, spark_local
from benchmarks.engines.base import Engine

OURS = shuffle_run.ENGINE.name
ENGINES: dict[str, Engine] = {
    module.ENGINE.name: module.ENGINE
    for module in (shuffle_run, dask_p2p, ray_data, spark_local, polars_streaming, duckdb_copy)
}
