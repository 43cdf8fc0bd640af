"""What each operation decides while a job is planned: the columns it needs, its checks, what its output looks like.

The planner works every input out by itself (`plan/table.py`) and asks the operation for the rest, through the methods
of `Planning`; whole rows of one input are the rule, and what an operation does not say it has from there.
`planning_for` is the one place that knows which class belongs to which operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.plan import sizing
from shuffle_worker.plan.keyed import Keyed
from shuffle_worker.plan.keys import Key, check_key, check_sort_within, refuse_twice
from shuffle_worker.plan.record import Hot, Plan
from shuffle_worker.protocol.messages import (
    AnyOperation,
    Apply,
    Distinct,
    GroupBy,
    Job,
    Join,
    Repartition,
    Sort,
    SortKey,
)
from shuffle_worker.writers.commit import Partitioning

if TYPE_CHECKING:
    from pathlib import Path

    from shuffle_worker.memory import Budgets
    from shuffle_worker.plan.table import Planned


class Columns(NamedTuple):
    """An input's schemas. found: every column that it has; kept: those that the user selected, in that order."""

    found: pa.Schema
    kept: pa.Schema


class Size(NamedTuple):
    """How much a table is expected to be: its rows (those that pass the filter), the Arrow bytes of a row, and the
    bytes as files hold it. few: its columns of few distinct values. It depends on the data alone, for it decides how
    many files there are. keyed: of what `Planning.grouped_by` names, where a row was seen."""

    rows: float
    row_bytes: float
    stored: float
    few: Sequence[str] = ()
    keyed: Keyed | None = None


class Planning:
    """inputs: how many it takes. keeps_rows: every row read is a row written, whole. in_ranges: a partition may be cut
    into several buckets, so that each of them fits in memory; only where the order of a file's rows does not depend on
    where it is cut (see docs/output.md). same_rows: those of the output are rows of an
    input, or of several side by side. shrinks: what is written may be much less than what is read."""

    inputs = 1
    step = "Repartition"
    """What `explain` calls it."""
    keeps_rows = True
    same_rows = True
    in_ranges = False
    shrinks = False
    broadcast: int | None = None
    """The input that every worker reads whole; joined rows travel then."""
    aligned = 0
    """The files of inputs that are parted alike, and of the output, where nothing needs to travel."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.code: list[str] = []
        """See `Plan.code`."""
        self.timed = False
        """Whether estimates may go by how long things took: see `make_plan`."""

    def needed(self, index: int) -> Sequence[str] | None:  # noqa: ARG002
        """The columns of an input that are read for the operation; None for all that the user selected."""
        return None

    def range_keys(self) -> list[SortKey]:
        """The keys by whose ranges rows are parted; none for hash and round robin."""
        return []

    def bounded(self, index: int) -> Sequence[str]:  # noqa: ARG002
        """The columns of an input whose smallest and largest values the operation wants to know, where files say."""
        return []

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """The columns of whose values together the operation wants to know how many there may be. names: all that are
        read."""
        return ()

    def keys(self) -> list[Key]:
        """Every column that the operation uses as a key."""
        return []

    def check(self, inputs: Sequence[Columns]) -> None:
        """Raises InvalidSpec where the operation cannot be done with these inputs."""
        for key in self.keys():
            check_key(key, *inputs[key.input])

    def settle(self, inputs: Sequence[Planned], budgets: Budgets, scratch: Path | None) -> None:
        """Find out what only a look at rows tells; after `check`, before `output`. scratch: a folder, None for any."""

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        """The output's schema, from those of the inputs (of the columns needed)."""
        return inputs[0]

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:
        """The inputs whose columns are in the output, as they are: what files say of these may hold for it too."""
        return inputs

    def size(self, inputs: Sequence[Size]) -> Size:
        """How much the output is expected to be; its `few` are names of output columns."""
        return inputs[0]

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:
        """How many files there are where the job says nothing of it. count: so many that each is of the usual size.
        It depends on the data alone."""
        if not self.shrinks:
            return count
        return sizing.shrinking_partitions(count, sum(one.rows * one.row_bytes for one in inputs), output.stored)

    def called_seconds(self, inputs: Sequence[Size], partitions: int) -> float:  # noqa: ARG002
        """Processor time that functions of the user's are expected to take."""
        return 0.0

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:  # noqa: ARG002
        """What `explain` says of what is done with the rows."""
        return []

    def hot(self, inputs: Sequence[Planned], partitions: int) -> list[Hot]:  # noqa: ARG002
        """Keys whose rows are spread over several files."""
        return []

    def weight(self, inputs: Sequence[Size]) -> float:  # noqa: ARG002
        """The memory that a bucket takes while it is worked on, in bytes for each Arrow byte of its rows, where that is
        more than a sort takes: such buckets are cut smaller."""
        return 1.0

    def partitioning(self, partitions: int) -> Partitioning:
        """What the manifest says of how rows were told apart."""
        raise NotImplementedError

    def partitioning_of(self, plan: Plan) -> Partitioning:
        """The same of a plan that is carried out."""
        return self.partitioning(plan.layout.partitions)

    def describe(self) -> str:
        """The operation in words."""
        raise NotImplementedError

    def why(self, inputs: Sequence[Planned]) -> list[str]:  # noqa: ARG002
        """What `explain` says of how rows come together: a side broadcast, a hot key spread, and why."""
        return []


class RepartitionPlanning(Planning):
    def __init__(self, job: Job, operation: Repartition) -> None:
        super().__init__(job)
        self._by, self._range = operation.by, operation.range
        self._by_folder = bool(self._by) and set(self._by) <= set(job.output.partition_by)

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        return self._by if self._by_folder else ()

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:  # noqa: ARG002
        keyed = inputs[0].keyed
        return sizing.folder_partitions(count, keyed.expected(inputs[0].rows)) if keyed is not None else count

    def range_keys(self) -> list[SortKey]:
        return [SortKey(name) for name in self._range]

    def keys(self) -> list[Key]:
        named = [Key(0, name, f"operation.repartition.by[{at}]") for at, name in enumerate(self._by)]
        return named + [Key(0, name, f"operation.repartition.range[{at}]") for at, name in enumerate(self._range)]

    def check(self, inputs: Sequence[Columns]) -> None:
        super().check(inputs)
        check_sort_within(self.job, inputs[0].kept, found=inputs[0].found)
        refuse_twice(self._by, "operation.repartition.by")
        refuse_twice(self._range, "operation.repartition.range")

    def partitioning(self, partitions: int) -> Partitioning:
        if self._by:
            return Partitioning("hash", self._by, partitions, HASH_NAME)
        if self._range:
            return Partitioning("range", self._range, partitions)
        return Partitioning("roundRobin", [], partitions)

    def describe(self) -> str:
        if self._by:
            return f"repartition by the hash of {', '.join(self._by)}"
        if self._range:
            return f"repartition by ranges of {', '.join(self._range)}"
        return "repartition round robin, into even sizes"


class SortPlanning(Planning):
    step = "Sort"
    in_ranges = True

    def __init__(self, job: Job, operation: Sort) -> None:
        super().__init__(job)
        self._by = operation.by

    def range_keys(self) -> list[SortKey]:
        return list(self._by)

    def keys(self) -> list[Key]:
        return [Key(0, key.column, f"operation.sort.by[{at}].column") for at, key in enumerate(self._by)]

    def check(self, inputs: Sequence[Columns]) -> None:
        if not self._by:
            raise InvalidSpec("operation.sort.by: is empty; name the columns to sort by")
        super().check(inputs)
        check_sort_within(self.job, inputs[0].kept, found=inputs[0].found)
        refuse_twice([key.column for key in self._by], "operation.sort.by")

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("sort", [key.column for key in self._by], partitions)

    def describe(self) -> str:
        keys = ", ".join(
            f"{key.column} {'descending' if key.descending else 'ascending'}, nulls "
            f"{'first' if key.nulls_first else 'last'}"
            for key in self._by
        )
        return f"global sort by {keys}"


def planning_for(job: Job) -> Planning:
    operation: AnyOperation = job.operation
    if isinstance(operation, Repartition):
        return RepartitionPlanning(job, operation)
    if isinstance(operation, Sort):
        return SortPlanning(job, operation)
    if isinstance(operation, GroupBy):
        from shuffle_worker.plan.grouping import GroupByPlanning

        return GroupByPlanning(job, operation)
    if isinstance(operation, Distinct):
        from shuffle_worker.plan.grouping import DistinctPlanning

        return DistinctPlanning(job, operation)
    if isinstance(operation, Join):
        from shuffle_worker.plan.join import JoinPlanning  # which is made of what is here

        return JoinPlanning(job, operation)
    if isinstance(operation, Apply):
        from shuffle_worker.plan.apply import ApplyPlanning

        return ApplyPlanning(job, operation)
    raise InvalidSpec(f"operation: {type(operation).__name__} cannot be carried out by this version")
