"""A worker's configuration as a container gets it: environment variables, and the job's token and certificates in
mounted files.

Called by `__main__` where `SHUFFLE_JOB` is set; the operator writes these variables (launchers/pod.py). The token is no
variable: those show in a process's environment and in crash reports. The variables are about the whole container: where
it has several workers (`worker/pod.py`), each takes its part.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.runtime import cgroup
from shuffle_worker.runtime.settings import WorkerConfig

TERMINATION_LOG = "/dev/termination-log"
"""What Kubernetes shows as a container's last words."""


COUNT, NUMBER, TRAIL = "SHUFFLE_WORKERS_HERE", "SHUFFLE_NUMBER_HERE", "SHUFFLE_TRAIL"
"""Variables of a container with several workers: how many there are, from the operator; which of them a process is and
where it keeps its trail, from the process that started it."""


def config_from(environment: Mapping[str, str]) -> WorkerConfig:
    """Raises InvalidSpec naming the variable that is missing or no number."""

    def text(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise InvalidSpec(f"{name}: is not set; the operator sets it for every worker")
        return value

    def number(name: str, default: int) -> int:
        value = environment.get(name, "")
        try:
            return int(value) if value else default
        except ValueError:
            raise InvalidSpec(f"{name}: {value!r} is no whole number") from None

    token_file = Path(text("SHUFFLE_TOKEN_FILE"))
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidSpec(f"SHUFFLE_TOKEN_FILE: {token_file} cannot be read: {error.strerror}") from error
    coordinator, tls = text("SHUFFLE_COORDINATOR"), environment.get("SHUFFLE_TLS", "")
    scheme = "https://" if tls else "http://"
    if not coordinator.startswith(scheme):  # never in plain text by mistake
        why = "with" if tls else "without"
        raise InvalidSpec(f"SHUFFLE_COORDINATOR: {coordinator}; {scheme} is expected {why} SHUFFLE_TLS")
    memory = number("SHUFFLE_MEMORY", 0)
    if memory <= 0:
        raise InvalidSpec("SHUFFLE_MEMORY: is not set; it is the worker's memory in bytes")
    limit = cgroup.limit()
    if limit is not None:
        memory = min(memory, limit)  # it may be less than was asked for
    slots, port = max(1, number("SHUFFLE_SLOTS", 1)), number("SHUFFLE_PORT", 0)
    count, here = number(COUNT, 1), number(NUMBER, 0)
    incarnation = text("SHUFFLE_INCARNATION").replace("-", "")  # a pod's uid
    scratch = tempfile.mkdtemp(prefix="worker-", dir=environment.get("SHUFFLE_SCRATCH") or None)
    return WorkerConfig(
        coordinator=coordinator,
        tls=tls,
        job=text("SHUFFLE_JOB"),
        token=token,
        worker=number("SHUFFLE_WORKER", -1) + here,
        incarnation=f"{incarnation}.{here}" if count > 1 else incarnation,
        memory=memory // count,
        functions=number("SHUFFLE_FUNCTIONS_MEMORY", 0) // count,
        scratch=scratch,
        slots=slots // count + (here < slots % count),
        host=environment.get("SHUFFLE_HOST", "") or listening(text("SHUFFLE_ADVERTISE")),
        advertise=text("SHUFFLE_ADVERTISE"),
        port=port + here if port else 0,
        scratch_share=count,
        scratch_limit=number("SHUFFLE_SCRATCH_LIMIT", 0) // count,
        linger=number("SHUFFLE_LINGER", 0),
        grace=number("SHUFFLE_GRACE", 0),
        orphaned=number("SHUFFLE_ORPHANED", 86_400),
        storage_retry=number("SHUFFLE_STORAGE_RETRY", 0),
        trail=environment.get(TRAIL, TERMINATION_LOG if Path(TERMINATION_LOG).exists() else ""),
        log_level=environment.get("SHUFFLE_LOG_LEVEL", "INFO"),
        watch_stdin=count > 1,
    )


def listening(advertised: str) -> str:
    """The wildcard address of the family (IPv6 or IPv4) of the address that other workers connect to."""
    return "::" if ":" in advertised else "0.0.0.0"  # noqa: S104 - peers are other pods; they need the token


def in_container() -> bool:
    return "SHUFFLE_JOB" in os.environ
