"""The operator: the ShuffleJob API, the coordinator that keeps the barrier, launchers, clients.

It knows `shuffle_protocol` and not the worker. `shuffle_local` has the command line. docs/architecture.md says what is
where.

It is also where people import the Python API from (docs/python.md):

    from shuffle_operator import read_parquet

    read_parquet("events/").repartition("user_id").write_parquet("by-user/").run()

That API may know all packages, so it is in `shuffle_local.python` and is looked up there when one of its names is first
used: the operator's process never imports it (docs/decisions/0008-python-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shuffle_local.python import (
        ClusterJob,
        GroupedTable,
        InvalidJob,
        JobError,
        JobPlan,
        JobResult,
        KubeError,
        OutputChanged,
        ReadTable,
        RechunkedStore,
        ShuffledTable,
        ShuffleJob,
        ZarrStore,
        agg,
        asc,
        desc,
        read_csv,
        read_feather,
        read_files,
        read_json,
        read_orc,
        read_parquet,
        read_zarr,
        side,
        storage,
    )

__all__ = [
    "ClusterJob",
    "GroupedTable",
    "InvalidJob",
    "JobError",
    "JobPlan",
    "JobResult",
    "KubeError",
    "OutputChanged",
    "ReadTable",
    "RechunkedStore",
    "ShuffleJob",
    "ShuffledTable",
    "ZarrStore",
    "agg",
    "asc",
    "desc",
    "read_csv",
    "read_feather",
    "read_files",
    "read_json",
    "read_orc",
    "read_parquet",
    "read_zarr",
    "side",
    "storage",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found: object = getattr(importlib.import_module("shuffle_local.python"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
