"""Planning of `groupBy` with `apply`: whether the function can be called, and what it gives, before anything starts.

The function is imported by a process of its own (`functions/`), so one that is not there, or cannot be called with a
table, is refused in the plan. With a declared schema that is all. Without one it is called for the largest groups of a
sample, and the columns of what it returns are the output's: every later result is held to them.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Apply, Job
from shuffle_protocol.memory import MIB, Budgets
from shuffle_worker.columns.arrays import I64, take
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.columns.type_names import schema_of_names
from shuffle_worker.functions.failures import FIELD, Named, called_by_apply, told_to_people
from shuffle_worker.functions.host import Host, Setup, Trouble
from shuffle_worker.functions.inferred import common_schema, unknown
from shuffle_worker.functions.shapes import Shape
from shuffle_worker.functions.sources import ImportPath, prepare
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.inputs.probe import few_values, guessed_bytes, sample_rows
from shuffle_worker.operations.apply.calls import Calls, Timed, calls_of_groups, calls_of_partitions
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.equal_keys import begins, without_nulls
from shuffle_worker.partitioning.order import hash_order
from shuffle_worker.plan import sizing
from shuffle_worker.steps.planning import Planning

if TYPE_CHECKING:
    from shuffle_worker.inputs.planned import PlannedInput

SAMPLE_GROUPS = 8
MOST_GROUPS = 20_000
"""Calls for one file: half a minute of pandas."""

MOST_FILE_BYTES = 64 * MIB
CALLED_BYTES = 32 * MIB
"""Arrow bytes of one file's rows, and of those that are given to a function at once."""

SCHEMA_FIELD = "operation.groupBy.schema"


class ApplyPlanning(Planning):
    step = "Apply"
    keeps_rows = False
    in_ranges = True  # files are in the order of hashes, and buckets are ranges of these

    def __init__(self, job: Job, operation: Apply) -> None:
        super().__init__(job)
        self._apply = operation
        self._called = called_by_apply(operation)
        self._schema: pa.Schema | None = None
        self._result: pa.Table | None = None  # of the sample
        self._rows = 0  # of the sample, that it was made from
        self._groups = 0
        self._shape = Shape.TABLE
        self._sampled = Timed()

    def keys(self) -> list[Key]:
        return [Key(0, name, f"operation.groupBy.by[{at}]") for at, name in enumerate(self._apply.by)]

    def check(self, inputs: Sequence[Columns]) -> None:
        super().check(inputs)
        refuse_twice(self._apply.by, "operation.groupBy.by")
        if self._apply.schema is not None:
            self._declare(schema_of_names([(one.name, one.type) for one in self._apply.schema], SCHEMA_FIELD))

    def settle(self, inputs: Sequence[PlannedInput], budgets: Budgets, scratch: Path | None) -> None:
        self._sampled.wanted = self.timed
        with tempfile.TemporaryDirectory(prefix="plan-", dir=scratch) as folder:
            places = prepare(self.job.functions.sources, Path(folder))
            self.code = [place.sha256 for place in places]
            self._try(inputs[0], places, budgets.functions)

    def _try(self, one: PlannedInput, places: Sequence[ImportPath], memory: int) -> None:
        """Import the function in its process, and call it where no schema is declared."""
        rows = transport_schema(one.schema)
        wanted = None if self._schema is None else transport_schema(self._schema)
        apply, gpu = self._apply, self.job.gpu
        host = Host(Setup(apply.function, places, rows, wanted, memory, apply.seconds, gpu=gpu))
        try:
            host.start()
            self._shape = host.shape
            if self._schema is None:
                found = sample_rows(one.files, one.row_groups, rows.names)
                self._declare(self._inferred(host, found, memory))
        except Trouble as trouble:
            nothing = pa.RecordBatch.from_pylist([], schema=rows)
            raise told_to_people(trouble, _of_sample([], nothing), self._called, memory) from trouble
        finally:
            host.close()

    def _inferred(self, host: Host, rows: pa.RecordBatch, memory: int) -> pa.Schema:
        """The columns of what the function returns for some groups of a sample."""
        keys = self._apply.by if self._apply.per == "Group" else []
        if self._apply.nulls == "Drop":
            rows = without_nulls(rows, self._apply.by)
        rows, ends = _largest(rows, keys)
        schemas: list[pa.Schema] = []
        tables: list[pa.Table] = []
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            group = rows.slice(begin, end - begin)
            try:
                with self._sampled.call(end - begin):
                    batches = list(host.call(iter([group]), [end - begin], None))
            except Trouble as trouble:
                if not rows.num_rows:
                    why = f"there are no rows to call it with, and without any {trouble}"
                    raise unknown(self._called, why) from trouble
                raise told_to_people(trouble, _of_sample(keys, group), self._called, memory) from trouble
            if host.schema is not None:
                schemas.append(host.schema.remove_metadata())
                tables.append(
                    pa.Table.from_batches(batches, schema=transport_schema(host.schema)).replace_schema_metadata()
                )
        schema = common_schema(schemas, self._called)
        self._result = pa.concat_tables(tables, promote_options="permissive")
        self._rows, self._groups = rows.num_rows, len(schemas)
        return schema

    def _declare(self, schema: pa.Schema) -> None:
        if not schema.names:
            raise InvalidSpec(f"{FIELD}: {self._apply.function} returns a table without columns")
        check_sort_within(self.job, schema)
        self._schema = schema

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:  # noqa: ARG002
        return []  # what a function returns is its own

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:  # noqa: ARG002
        assert self._schema is not None, "settle comes first"
        return self._schema

    def size(self, inputs: Sequence[Size]) -> Size:
        """By the sample's results where there are any; else as many rows as there were, of the declared columns."""
        schema = self.output([])
        before = inputs[0]
        few: list[str] = []
        share, row_bytes = 1.0, guessed_bytes(transport_schema(schema))
        if self._result is not None and self._rows:
            share = self._result.num_rows / self._rows
            if self._result.num_rows:
                row_bytes = max(self._result.nbytes / self._result.num_rows, 1.0)
            columns = zip(self._result.schema, self._result.columns, strict=True)
            few = [field.name for field, column in columns if few_values(column, field.type)]
        stored = before.stored * share * row_bytes / max(before.row_bytes, 1.0)
        return Size(before.rows * share, row_bytes, stored, few)

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        return self._apply.by

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:  # noqa: ARG002
        """As many files as spread the calls over workers, and as leave a function that takes a whole file enough
        memory."""
        rows = inputs[0]
        moved = rows.rows * rows.row_bytes
        if self._apply.per == "Partition":
            return sizing.busy_partitions(count, rows.groups, math.inf, moved, CALLED_BYTES)
        return sizing.busy_partitions(count, rows.groups, MOST_GROUPS, moved, MOST_FILE_BYTES)

    def called_seconds(self, inputs: Sequence[Size], partitions: int) -> float:
        return self._calls(inputs[0], partitions).total

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:
        """What `explain` says of the calls."""
        return self._calls(inputs[0], partitions).told(str(self._shape), self._apply.per)

    def _calls(self, rows: Size, partitions: int) -> Calls:
        if self._apply.per == "Partition":
            return calls_of_partitions(self._shape, rows.rows, partitions, self._sampled)
        return calls_of_groups(self._shape, rows.rows, rows.groups, self._sampled)

    def partitioning(self, partitions: int) -> Partitioning:
        """The function may return other keys than it got, or none, so the manifest claims nothing about where keys
        are."""
        return Partitioning("none", [], partitions)

    def describe(self) -> str:
        per = "each group of" if self._apply.per == "Group" else "each partition by the hash of"
        return f"apply {self._apply.function} to {per} {', '.join(self._apply.by)}"

    def why(self, inputs: Sequence[PlannedInput]) -> list[str]:  # noqa: ARG002
        notes = [f"{self._apply.function} is given {self._shape}, in a process of its own"]
        if self._result is not None:
            groups = "a partition" if self._apply.per == "Partition" else f"{self._groups:,} groups"
            notes.append(f"its columns were found by calling it for {groups} of a sample, {self._rows:,} rows")
        return notes


def _of_sample(keys: Sequence[str], group: pa.RecordBatch) -> Callable[[int], str]:
    """Names a group of a sample."""
    return Named(keys, group, 0, group.num_rows, sample=True).of


def _largest(rows: pa.RecordBatch, keys: Sequence[str]) -> tuple[pa.RecordBatch, I64]:
    """The largest groups, one after the other, and the row after each; all rows where there are no keys."""
    if not keys or not rows.num_rows:
        return rows, np.array([rows.num_rows], np.int64)
    rows = take(rows, hash_order(keys)(rows))
    starts = np.flatnonzero(begins(rows, keys))
    sizes = np.diff(np.append(starts, rows.num_rows))
    chosen = np.argsort(-sizes, kind="stable")[:SAMPLE_GROUPS]
    places = np.concatenate([np.arange(starts[one], starts[one] + sizes[one]) for one in chosen.tolist()])
    return take(rows, places), np.cumsum(sizes[chosen])
