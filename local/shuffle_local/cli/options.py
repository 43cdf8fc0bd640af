"""Options that several commands take: the same names, the same help, refused the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MIB, TIB = 1 << 20, 1 << 40


def memory_bytes(text: str) -> int:
    """Bytes of an option such as `--memory 512Mi`; the limits are those of a worker's memory in a job."""
    from shuffle_operator.api.quantities import BadQuantity, parse_bytes

    try:
        return parse_bytes(text, 256 * MIB, 64 * TIB)
    except BadQuantity as error:
        raise typer.BadParameter(f"found {text!r}; {error}") from None


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The job file (YAML); - for standard input.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", "-w", metavar="N", min=1, max=1024, help="Worker processes [default: one a core]."),
]
MemoryOption = Annotated[
    int | None,
    typer.Option(
        "--memory",
        "-m",
        parser=memory_bytes,
        metavar="SIZE",
        help="Memory of each worker, as 512Mi [default: what fits].",
    ),
]
