"""A task's job on this machine, with the engine that `shuffle run` uses.

The job is the one of the cluster, with what the machine has: no more workers and memory than fit, and credentials from
environment variables, because Secrets are the cluster's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shuffle_local.cli.local_job import with_local_paths
from shuffle_local.cli.machine import default_memory, default_workers
from shuffle_local.run import LocalOptions, LocalRun
from shuffle_operator.api.resolve import declared_memory, declared_workers, resolve
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import check_job
from shuffle_operator.coordinator.status import Snapshot
from shuffle_operator.flyte.config import ShuffleJobConfig
from shuffle_operator.flyte.placeholders import Value
from shuffle_protocol.jobs import Job


def run_here(config: ShuffleJobConfig, values: Mapping[str, Value]) -> Snapshot:
    """The job's end, good or bad. Raises JobError where it cannot start. In a thread of its own, because flytekit may
    call a task where an event loop is running already."""
    job = local_job(config.job("flyte", values))
    with ThreadPoolExecutor(1, "shuffle-flyte") as thread:
        return thread.submit(lambda: asyncio.run(LocalRun(job, LocalOptions()).run())).result()


def local_job(declared: ShuffleJob) -> Job:
    here = _without_secrets(declared)
    workers = min(declared_workers(here, default_workers()), default_workers())
    fits = default_memory(workers)
    memory = min(declared_memory(here, fits), fits)
    return with_local_paths(resolve(here, uid=secrets.token_hex(8), workers=workers, memory=memory))


def _without_secrets(job: ShuffleJob) -> ShuffleJob:
    body = job.manifest()
    places: list[dict[str, Any]] = [*body["spec"]["inputs"], body["spec"]["output"]]
    for place in places:
        place.get("storage", {}).pop("secretRef", None)
    return check_job(body)
