"""The Python API: jobs built call by call, run here or in a cluster, and their results opened.

People import it from `shuffle_operator`, which looks names up here when they are first used. docs/python.md is its
page, docs/decisions/0008-python-api.md says why it is here.

reading.py      read_parquet and its siblings
tables.py       what is done with a table
writing.py      write_parquet and its siblings
stores.py       the same for a Zarr store
agg.py          aggregations of a groupBy
keys.py         keys, columns, schemas and storage, as people write them
typed.py        objects of the resource that are written as mappings
bodies.py       arguments to objects of the resource, checked at once
arguments.py    fields of the resource to arguments, for messages
job.py          ShuffleJob
settings.py     its knobs: workers, functions, and how it is run
functions.py    functions of the user's by their names, and where they are found
background.py   what runs in a thread with an event loop of its own
display.py      progress in a terminal, in a notebook, or to a function
cluster.py      a job that was submitted
running.py      a run on this machine
explained.py    a plan
card.py         a job as a notebook shows it
result.py       a result: figures, and what opens its files
written.py      which output a result means
opening.py      its files as an Arrow dataset
hypertext.py    what a notebook shows, escaped
"""

from __future__ import annotations

from shuffle_local.python import agg
from shuffle_local.python.cluster import ClusterJob
from shuffle_local.python.explained import JobPlan
from shuffle_local.python.job import ShuffleJob
from shuffle_local.python.keys import asc, desc, storage
from shuffle_local.python.reading import (
    read_csv,
    read_feather,
    read_files,
    read_json,
    read_orc,
    read_parquet,
    read_zarr,
)
from shuffle_local.python.result import JobResult
from shuffle_local.python.stores import RechunkedStore, ZarrStore
from shuffle_local.python.tables import GroupedTable, ReadTable, ShuffledTable, side
from shuffle_local.python.written import OutputChanged
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.kube.api import KubeError
from shuffle_protocol.errors import JobError

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
