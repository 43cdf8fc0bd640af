"""What a window decides while it is planned: the columns that it computes and their types, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, Window
from shuffle_protocol.units import counted
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.expressions.computed import field_of
from shuffle_worker.expressions.sql import Field, column_names, parse
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice, told_order
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.steps.planning import Planning
from shuffle_worker.windows.typed import WHERE, compile_windows

ONE_WINDOW = (
    'operation.window.by: is empty, so all rows would be one window; write inputs[0].compute: {all: "1"} and by: [all] '
    "if that is meant: one worker then does all of it, into one file"
)


class WindowPlanning(Planning):
    step = "Window"
    in_ranges = True  # files are in the order of hashes, and buckets are ranges of these

    def __init__(self, job: Job, operation: Window) -> None:
        super().__init__(job)
        self._asked = operation

    def keys(self) -> list[Key]:
        by = [Key(0, name, f"operation.window.by[{at}]") for at, name in enumerate(self._asked.by)]
        ordered = enumerate(self._asked.order_by)
        return by + [Key(0, key.column, f"operation.window.orderBy[{at}].column") for at, key in ordered]

    def together(self, index: int) -> Sequence[str]:  # noqa: ARG002
        return self._asked.by

    def check(self, inputs: Sequence[Columns]) -> None:
        if not self._asked.by:
            raise InvalidSpec(ONE_WINDOW)
        if not self._asked.compute:
            raise InvalidSpec(f"{WHERE}: is empty; write a column and what it is, as in nr: row_number()")
        super().check(inputs)
        refuse_twice(self._asked.by, "operation.window.by")
        refuse_twice([key.column for key in self._asked.order_by], "operation.window.orderBy")
        for name in sorted(self._asked.compute):
            if inputs[0].found.get_field_index(name) >= 0:
                raise InvalidSpec(f"{field_of(name, WHERE)}: the input has a column {name!r}; give it another name")
            self._check_columns(name, inputs[0])
        check_sort_within(self.job, self.output([inputs[0].kept]))

    def _check_columns(self, name: str, columns: Columns) -> None:
        """Refuse what the input has, or the window computes, and what the expression `name` cannot see."""
        where = field_of(name, WHERE)
        text = self._asked.compute[name]
        for column in column_names(parse(text, Field(where, "value", "row_number()"))):
            if columns.kept.get_field_index(column) >= 0:
                continue
            if columns.found.get_field_index(column) >= 0:
                raise InvalidSpec(f"{where}: {column!r} is used but not among inputs[0].columns; add it there")
            if column in self._asked.compute:
                raise InvalidSpec(
                    f"{where}: {column!r} is computed by the window itself, whose expressions see the columns of the "
                    "input; use it in output.compute or output.filter, or write out what it is"
                )

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        compiled = compile_windows(self._asked.compute, inputs[0], self._asked.order_by)
        made = [pa.field(one.name, one.kind) for one in compiled.results]
        return schema_of([*inputs[0], *made], inputs[0].metadata)

    def size(self, inputs: Sequence[Size]) -> Size:
        rows = inputs[0]
        more = self._more
        return rows._replace(
            row_bytes=rows.row_bytes + more, stored=rows.stored * (1 + more / max(rows.row_bytes, 1.0))
        )

    @property
    def _more(self) -> float:
        """Bytes of a row that are computed."""
        return 8.0 * len(self._asked.compute)

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("hash", self._asked.by, partitions, HASH_NAME)

    def describe(self) -> str:
        order = f" ordered by {told_order(self._asked.order_by)}" if self._asked.order_by else " in the input's order"
        made = ", ".join(sorted(self._asked.compute))
        return f"window by {', '.join(self._asked.by)},{order}: {made}"

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:  # noqa: ARG002
        """What `explain` says of what is done with the rows."""
        return [
            "the rows of each window in their order, ties by their place in the input",
            f"{counted(len(self._asked.compute), 'column')} computed; scratch holds a window that memory does not hold",
        ]
