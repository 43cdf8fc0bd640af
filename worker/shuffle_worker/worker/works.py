"""Which work a job is: tables (tables/work.py) or arrays (arrays/work.py). A process learns its job when it registers.

Each half is imported when a job asks for it: workers on tables never load Zarr, and need not have it; workers on arrays
start without readers, operations and writers of tables.
"""

from __future__ import annotations

from threading import Lock

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_worker.transfer.work import Work, WorkSetup

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


class Works:
    """Implements `work.Choose`. Calls come from several threads."""

    def __init__(self, setup: WorkSetup) -> None:
        self._setup = setup
        self._chosen: Work | None = None
        self._choosing = Lock()

    def __call__(self, job: Job) -> Work:
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._arrays() if isinstance(job.operation, Rechunk) else self._tables()
            return self._chosen

    def _tables(self) -> Work:
        from shuffle_worker.tables.work import Tasks

        return Tasks(self._setup)

    def _arrays(self) -> Work:
        need_zarr()
        from shuffle_worker.arrays.work import ArrayTasks

        return ArrayTasks(self._setup)
