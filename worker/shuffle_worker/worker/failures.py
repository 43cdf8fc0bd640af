"""What the coordinator, and in the end a person, hears of a lease that ended with an error. Called by the agent."""

from __future__ import annotations

import logging
import traceback

from shuffle_protocol.errors import Internal, JobError
from shuffle_protocol.messages import Failure, LeaseId, LeaseKind
from shuffle_worker.store.failures import memory_failure
from shuffle_worker.store.store import CorruptBlock
from shuffle_worker.transfer.exchange import Absent, Incomplete
from shuffle_worker.transfer.transport import Unreachable

log = logging.getLogger("shuffle.worker")


def failure_of(lease: LeaseId, error: BaseException, worker: int, memory: int, about: dict[str, object]) -> Failure:
    """Notes it in the log too. worker, memory: who it was, and the bytes that it may use. about: the lease, for the
    log."""
    if isinstance(error, MemoryError):
        error = memory_failure(worker, error, memory)
    if isinstance(error, JobError):
        log.warning("failed: %s: %s", error.reason, error.message, extra=about)
        refusal = lease.kind is LeaseKind.PLAN and error.refusal
        # Tried again all the same: a store that was never reached may be out of this worker's reach alone.
        return Failure(lease, error.reason, error.message, retry=error.retry, refusal=refusal)
    if isinstance(error, Absent):
        log.info("%s", error, extra=about)
        return Failure(lease, Internal.reason, str(error), retry=True, absent=True)
    if isinstance(error, Incomplete | Unreachable):
        return Failure(lease, Internal.reason, str(error), retry=True)
    if isinstance(error, CorruptBlock):
        log.warning("%s", error, extra=about)
        return Failure(lease, Internal.reason, str(error), retry=True, corrupt=error.shard.split)
    log.error("failed", exc_info=error, extra=about)
    where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    at = f" ({where.name}, line {where.lineno})" if where else ""
    return Failure(lease, Internal.reason, f"{type(error).__name__}: {error}{at}", retry=True)
