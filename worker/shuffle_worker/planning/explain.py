"""What a plan says: the answer of `shuffle explain`, as data that can be JSON. People see its `tree`.

Made from a finished plan, so it cannot say anything else than what would be done. Nothing is run or written for it.
"""

from __future__ import annotations

from shuffle_protocol.jobs import Job
from shuffle_protocol.memory import Budgets
from shuffle_worker.operations.registry import planning_for
from shuffle_worker.plan.explained import ExplainedInput, ExplainedOutput, ExplainedWork, Explanation
from shuffle_worker.plan.record import Plan

FILES_SHOWN = 5


def explain(plan: Plan, budgets: Budgets) -> Explanation:
    """budgets: of each worker."""
    job, summary = plan.job, plan.summary
    schema = plan.output_schema()
    inputs = [_explained_input(plan, index) for index in range(len(plan.tables))]
    return Explanation(
        job=job.name,
        inputs=inputs,
        work=ExplainedWork(
            operation=describe(job),
            method=summary.method,
            method_reason=summary.method_reason,
            workers=job.workers,
            splits=len(plan.splits),
            row_bytes=round(plan.row_bytes, 1),
            arrow_bytes=int(sum(one.rows_read * plan.tables[at].row_bytes for at, one in enumerate(inputs))),
            memory=budgets.limit,
            memory_needed=summary.memory_needed,
            memory_store=budgets.for_job(summary.reading, summary.writing).store,
            scratch=summary.scratch_needed,
        ),
        output=ExplainedOutput(
            path=job.output.path,
            partitions=plan.layout.partitions,
            buckets=plan.layout.buckets,
            row_group_rows=plan.row_group_rows,
            compression=job.output.compression,
            dictionary=list(plan.dictionary),
            schema={one.name: str(one.type) for one in schema},
        ),
        seconds=summary.seconds,
        tree=summary.tree,
        notes=list(summary.notes),
    )


def describe(job: Job) -> str:
    """The operation in words."""
    return planning_for(job).describe()


def _explained_input(plan: Plan, index: int) -> ExplainedInput:
    source, table = plan.job.inputs[index], plan.tables[index]
    files = [file for file in plan.files if file.input == index]
    pieces = [piece for split in plan.splits for piece in split.pieces if plan.files[piece.file].input == index]
    needed = {*table.arrow_schema().names, *table.filter_schema().names}
    return ExplainedInput(
        name=source.name,
        paths=list(source.paths),
        files=len(files),
        bytes=sum(file.size for file in files),
        rows=-1 if any(file.rows < 0 for file in files) else sum(file.rows for file in files),
        first_files=[file.path for file in files[:FILES_SHOWN]],
        columns=list(table.arrow_schema().names),
        compute={name: text for name, text in sorted(source.compute.items()) if name in needed},
        filter=source.filter,
        filter_columns=list(table.filter_schema().names),
        row_groups_read=sum(len(piece.row_groups) for piece in pieces),
        rows_read=table.rows_read if pieces else 0,
        bytes_read=table.bytes_read if pieces else 0,
        row_bytes=round(table.row_bytes, 1),
    )
