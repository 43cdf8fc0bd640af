"""`shuffle validate FILE`: everything that can be checked without reading a job's input."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shuffle_local.cli.exits import INVALID
from shuffle_protocol.units import counted, some

if TYPE_CHECKING:
    from shuffle_operator.api.arrays import Rechunk
    from shuffle_operator.api.operation import Distinct, Join, Operation, Repartition, Window
    from shuffle_operator.api.problems import Problem
    from shuffle_operator.api.spec import ShuffleJob


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file (YAML); - for standard input.")],
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Check a job file: its fields, their values, and whether this version can carry it out.

    Nothing is read, started or written. Exit code 0: valid; 2: not, with every problem and what to write instead.
    """
    from shuffle_operator.api.problems import InvalidJob
    from shuffle_operator.api.resolve import unsupported
    from shuffle_operator.api.validation import load

    try:
        loaded = load(file)
        problems = loaded.placed(unsupported(loaded.job, local=False))
        if problems:
            raise InvalidJob(problems, str(file))
    except InvalidJob as error:
        if not json:
            raise
        typer.echo(jsons.dumps({"valid": False, "file": str(file), "problems": [_plain(p) for p in error.problems]}))
        raise typer.Exit(INVALID) from None
    if json:
        typer.echo(jsons.dumps({"valid": True, "file": str(file), "name": loaded.job.metadata.name, "problems": []}))
    else:
        typer.echo(f"{file} is valid: {describe(loaded.job)}")


def describe(job: ShuffleJob) -> str:
    """The job as a sentence."""
    spec = job.spec
    operation = spec.operation
    what = _done(operation)
    paths = [path for item in spec.inputs for path in ([item.path] if item.path else item.paths or [])]
    source = some(paths, 1)
    if len(spec.inputs) > 1 and operation.join is None:
        source = f"the rows of {len(spec.inputs)} inputs together ({source})"
    maps = [item.map for item in spec.inputs if item.map]
    if maps:
        source += f" through {' and '.join(maps)}"
    output = spec.output
    if operation.rechunk is not None:
        return f"{what}, from {source} to a Zarr store in {output.path}"
    files = (
        counted(output.partitions, "file")
        if output.partitions
        else f"files of {output.target_partition_size or '256Mi'}"
    )
    return f"{what}, from {source} to {files} in {output.path}"


def _done(operation: Operation) -> str:
    """What is done with the rows."""
    if operation.sort is not None:
        return f"sort by {', '.join(key.column for key in operation.sort.by)}"
    if operation.repartition is not None:
        return _repartition(operation.repartition)
    if operation.join is not None:
        return _join(operation.join)
    if operation.group_by is not None:
        return f"group by {', '.join(operation.group_by.by)}"
    if operation.distinct is not None:
        return _distinct(operation.distinct)
    if operation.cluster is not None:
        return f"cluster by {', '.join(operation.cluster.by)}"
    if operation.window is not None:
        return _window(operation.window)
    return _rechunk(operation.rechunk)


def _join(join: Join) -> str:
    kind = "As-of" if join.as_of is not None else join.type
    where = f" where {join.where}" if join.where else ""
    if join.sides is not None:
        return f"joins of {join.left} with {some([f'{side.right} ({side.type})' for side in join.sides], 4)}"
    return f"{kind} join of {join.left} and {join.right}{where}"


def _repartition(repartition: Repartition) -> str:
    if repartition.by:
        return f"repartition by {', '.join(repartition.by)}"
    if repartition.range:
        return f"repartition by ranges of {', '.join(repartition.range)}"
    if repartition.random is not None:
        return f"random order of seed {repartition.random.seed}"
    return "repartition evenly"


def _rechunk(rechunk: Rechunk | None) -> str:
    if rechunk is None or rechunk.apply is None:
        return "rechunk"
    halo = f" with a halo in {', '.join(rechunk.overlap.depth)}" if rechunk.overlap is not None else ""
    return f"{rechunk.apply} for each chunk of arrays{halo}"


def _distinct(distinct: Distinct) -> str:
    what = f"distinct by {', '.join(distinct.by)}" if distinct.by else "distinct rows"
    if distinct.rows == 1 and not distinct.order_by:
        return what
    order = f" by {', '.join(key.column for key in distinct.order_by)}" if distinct.order_by else ""
    kept = "row" if distinct.rows == 1 else f"{distinct.rows:,} rows"
    return f"{what} (the {distinct.keep.lower()} {kept} of each{order})"


def _window(window: Window) -> str:
    order = f" in the order of {', '.join(key.column for key in window.order_by)}" if window.order_by else ""
    return f"window by {', '.join(window.by or [])}{order}, for {', '.join(window.compute)}"


def _plain(problem: Problem) -> dict[str, object]:
    from shuffle_operator.api.problems import path_text

    return {"path": path_text(problem.path), "line": problem.line, "message": problem.message}
