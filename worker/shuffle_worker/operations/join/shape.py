"""A join with the schemas of its two sides: everything that is done with rows goes by it."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from shuffle_protocol.jobs import Join
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.operations.join.columns import as_left, keys_of, output_columns
from shuffle_worker.operations.join.condition import Judge, condition_of, names_of
from shuffle_worker.partitioning.matching import WANTED
from shuffle_worker.plan.record import Plan


class JoinShape:
    """asked: as the job has it. left, right: the schemas of its sides, as they are declared. names: the sides by what
    the condition may call them.

    A right semi or anti join is computed as the left one with the sides the other way round, and so are all attributes.
    """

    def __init__(self, asked: Join, left: pa.Schema, right: pa.Schema, names: Mapping[str, int]) -> None:
        self.join = as_left(asked)
        self._mirrored = self.join is not asked
        self.condition = condition_of(asked, left, right, names)
        if self._mirrored:
            left, right = right, left
        self.keys = keys_of(self.join, left, right)
        self.wanted = WANTED[self.join.how]
        self.columns = output_columns(self.join, left, right)
        self.schemas = (transport_schema(left), transport_schema(right))
        self.result = schema_of([column.field for column in self.columns], None)
        """The columns of the result, as they are declared."""
        self.output = transport_schema(self.result)

    def judge(self, left: pa.RecordBatch, right: pa.RecordBatch) -> Judge:
        """For pairs of rows of these; only where there is a condition."""
        assert self.condition is not None
        return Judge(self.condition, left, right, self._mirrored)


def shape_of(plan: Plan) -> JoinShape:
    """Of a job that is a join of its two inputs."""
    join = plan.job.operation
    assert isinstance(join, Join)
    left, right = (plan.inputs[at].arrow_schema() for at in (join.left, join.right))
    return JoinShape(join, left, right, names_of(join, plan.job.inputs))
