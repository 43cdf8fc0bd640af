"""A job as a notebook shows it: what is read, done and written, and nothing of its storage, variables or templates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shuffle_local.python import hypertext

if TYPE_CHECKING:
    from shuffle_operator.api.data import Input
    from shuffle_operator.api.spec import ShuffleJob


def card(job: ShuffleJob) -> str:
    from shuffle_local.cli.validate import describe

    return hypertext.heading("ShuffleJob", job.metadata.name, f": {describe(job)}") + hypertext.table(_rows(job))


def _rows(job: ShuffleJob) -> Iterator[tuple[str, object]]:
    for item in job.spec.inputs:
        yield f"Input {item.name or ''}".strip(), _input(item)
    output = job.spec.output
    yield "Output", f"{output.format} in {output.path}"
    if output.partition_by:
        yield "Folders", ", ".join(output.partition_by)
    if output.sort_within:
        yield "Sorted within", ", ".join(output.sort_within)
    yield "To run it", ".run() here, .submit() in a cluster; .explain() shows the plan"


def _input(item: Input) -> str:
    paths = [item.path] if item.path is not None else item.paths or []
    said = ", ".join(paths[:3]) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")
    if item.columns:
        said += f"; columns {', '.join(item.columns)}"
    if item.compute:
        said += "; " + ", ".join(f"{name} = {expression}" for name, expression in item.compute.items())
    return said + (f"; where {item.filter}" if item.filter else "")
