"""Input formats: pieces of files to record batches of the plan's schema.

`reader_for` is the one place that knows which reader belongs to which format.
"""

from __future__ import annotations

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.base import Reader
from shuffle_worker.storage.base import Storage

FORMATS = ("Parquet",)
"""What can be read today."""


def reader_for(plan: Plan, storage: Storage, index: int = 0) -> Reader:
    """The reader for one of the plan's inputs. Raises InvalidSpec for a format that cannot be read."""
    name = plan.job.inputs[index].format or "Parquet"
    if name == "Parquet":
        from shuffle_worker.readers.parquet import ParquetReader

        return ParquetReader(plan, storage, index)
    raise InvalidSpec(f"inputs[{index}].format: {name} cannot be read; formats are {', '.join(FORMATS)}")
