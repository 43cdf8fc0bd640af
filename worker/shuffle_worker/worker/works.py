"""Which work a job is: tables (tables/work.py) or arrays (arrays/work.py). A process learns its job only when it
registers.

Each half is imported when a job asks for it: workers on tables never load Zarr, and need not have it; workers on arrays
start without readers, operations and writers of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from shuffle_protocol.errors import InvalidSpec, JobError
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.runtime.owner import Owner
from shuffle_worker.runtime.pressure import give_back
from shuffle_worker.store.store import ShardSource
from shuffle_worker.transfer.objects import SharedShards
from shuffle_worker.transfer.work import Committed, Step, Work, Written

OLDEST_ZARR = (3, 1)


def need_zarr() -> None:
    """Raises InvalidSpec where Zarr is not installed, or is too old."""
    try:
        import zarr
    except ImportError as error:
        raise InvalidSpec(
            f"operation.rechunk needs Zarr, which cannot be imported here ({error}); install shuffle-operator[zarr] "
            "(the project's image has it)"
        ) from error
    version = str(zarr.__version__)
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST_ZARR:
        raise InvalidSpec(f"operation.rechunk needs Zarr 3.1 or later, and {version} is installed")


class ChosenWork:
    """Passes every call on to the work that the job asks for. Implements `work.Work`."""

    def __init__(
        self,
        budgets: Budgets,
        scratch: Path,
        scratch_share: int = 1,
        scratch_limit: int = 0,
        owner: Owner | None = None,
    ) -> None:
        def tables() -> Work:
            from shuffle_worker.tables.work import Tasks

            return Tasks(budgets, scratch, scratch_share, scratch_limit, owner)

        def arrays() -> Work:
            need_zarr()
            from shuffle_worker.arrays.work import ArrayTasks

            return ArrayTasks(budgets, scratch, scratch_share, scratch_limit, owner)

        self._kinds: tuple[Callable[[], Work], Callable[[], Work]] = (tables, arrays)
        self._chosen: Work | None = None
        self._choosing = Lock()

    def prepare(self, job: Job) -> None:
        with suppress(JobError):
            self._for(job).prepare(job)

    def _for(self, job: Job) -> Work:
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._kinds[isinstance(job.operation, Rechunk)]()
            return self._chosen

    @property
    def _loaded(self) -> Work:
        assert self._chosen is not None, "the plan is loaded before the work begins"
        return self._chosen

    def plan(self, job: Job) -> PlanSummary:
        summary = self._for(job).plan(job)
        give_back()
        return summary

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        return self._for(job).load(job, fingerprint)

    def recorded(self, job: Job, fingerprint: str) -> list[tuple[int, int, int]]:
        return self._for(job).recorded(job, fingerprint)

    def buckets(self) -> int:
        return self._loaded.buckets()

    def group_of(self, bucket: int) -> int:
        return self._loaded.group_of(bucket)

    def buckets_of(self, group: int) -> range:
        return self._loaded.buckets_of(group)

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        return self._loaded.read(split, wanted)

    def shared(self) -> SharedShards | None:
        return self._loaded.shared()

    def write(self, group: int, source: ShardSource) -> Written:
        return self._loaded.write(group, source)

    def commit(self, rows: int) -> Committed:
        return self._loaded.commit(rows)

    def abort(self, job: Job) -> None:
        self._for(job).abort(job)
