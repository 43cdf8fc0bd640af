"""What an operation decides while a job is planned: the columns it needs, its checks, what its output looks like.

The planner works every input out by itself (`inputs/table.py`) and asks the operation for the rest, through the methods
of `Planning`; whole rows of one input are the rule, and what an operation does not say it has from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.jobs import Job, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.inputs.keys import Key, check_key
from shuffle_worker.inputs.planned import Columns, PlannedInput, Size
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.plan import sizing
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.record import Partners, Plan, SkewedKey

SORTED = 4
"""Copies of rows that are sorted in memory: as they were read, put together, in their new order, and the order."""

AGGREGATED = 32 << 20
"""What partial aggregation holds: states, the first blocks of a split, what is worked out for a block."""


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
    key_bytes = 0
    """Of the key that each row travels with where the operation gives it one: see `steps/keyed.py`."""
    copies: float | None = None
    """Copies of a bucket's rows that are in memory at once while it is written, where an operation knows it: of rows
    that are passed on as they were read 1, of rows that are sorted `SORTED`. See `needs.py`."""
    map_bytes = 0
    """Memory that the map side holds besides a batch."""
    broadcast: Sequence[int] = ()
    """The inputs that every worker reads whole; joined rows travel then."""
    aligned = 0
    """The files of inputs that are partitioned alike, and of the output, where nothing needs to travel."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.code: list[str] = []
        """See `Plan.code`."""
        self.partners: Partners | None = None
        """See `Plan.partners`; known once `skewed` was called."""
        self.cuts: list[bytes] = []
        """See `Plan.cuts`; known once `boundaries` was called."""
        self.timed = False
        """Whether estimates may go by how long things took: see `make_plan`."""

    def needed(self, index: int) -> Sequence[str] | None:  # noqa: ARG002
        """The columns of an input that are read for the operation; None for all that the user selected."""
        return None

    def range_keys(self) -> list[SortKey]:
        """The keys by whose ranges rows are partitioned; none for hash and round robin."""
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

    def together(self, index: int) -> Sequence[str]:
        """The columns of an input whose equality brings rows to one file, as far as the operation names them."""
        return [key.column for key in self.keys() if key.input == index]

    def check(self, inputs: Sequence[Columns]) -> None:
        """Raises InvalidSpec where the operation cannot be done with these inputs."""
        for key in self.keys():
            check_key(key, *inputs[key.input])

    def settle(self, inputs: Sequence[PlannedInput], budgets: Budgets, scratch: Path | None) -> None:
        """Find out what only a look at rows tells; after `check`, before `output`. scratch: a folder, None for any."""

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        """The output's schema, from those of the inputs (of the columns needed)."""
        return inputs[0]

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        """Of each input the columns that are neither looked at nor changed on their way to a file, with the names that
        they have there. `keys` may be among them."""
        return [{} for _ in inputs]

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:
        """The inputs whose columns are in the output, as they are: what files say of these may hold for it too."""
        return inputs

    def size(self, inputs: Sequence[Size]) -> Size:
        """How much the output is expected to be; its `few` are names of output columns."""
        return inputs[0]

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:
        """How many files there are where the job says nothing of it. count: as many as make each of the usual size.
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

    def row_weight(self, one: PlannedInput) -> float:
        """The work for a row of an input when it is read, in Arrow bytes: splits are cut by it."""
        return one.look.read_bytes

    def boundaries(self, one: PlannedInput, layout: Layout, working: int) -> bytes | None:
        """Between the layout's cells, from a sample, for operations that partition rows by ranges; these have one
        input. working: bytes of memory for one lease."""
        from shuffle_worker.inputs.sample import boundaries

        keys = self.range_keys()
        return boundaries(one, keys, layout, separate=self.in_ranges, working=working) if keys else None

    def skewed(self, inputs: Sequence[PlannedInput], partitions: int) -> list[SkewedKey]:  # noqa: ARG002
        """Keys whose rows are spread over several files."""
        return []

    def weight(self, inputs: Sequence[Size]) -> float:  # noqa: ARG002
        """The memory that a bucket takes while it is worked on, in bytes for each Arrow byte of its rows, where that is
        more than a sort takes: such buckets are cut smaller."""
        return 1.0

    def partitioning(self, partitions: int) -> Partitioning:
        """What the manifest says of how rows were partitioned."""
        raise NotImplementedError

    def partitioning_of(self, plan: Plan) -> Partitioning:
        """The same of a plan that is carried out."""
        return self.partitioning(plan.layout.partitions)

    def describe(self) -> str:
        """The operation in words."""
        raise NotImplementedError

    def why(self, inputs: Sequence[PlannedInput]) -> list[str]:  # noqa: ARG002
        """What `explain` says of how rows come together: a side broadcast, a skewed key spread, and why."""
        return []
