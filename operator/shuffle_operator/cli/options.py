"""Option values that several commands take, read and refused the same way."""

from __future__ import annotations

import typer

MIB, TIB = 1 << 20, 1 << 40


def memory_bytes(text: str) -> int:
    """Bytes of an option such as `--memory 512Mi`; the limits are those of a worker's memory in a job."""
    from shuffle_operator.api.quantities import BadQuantity, parse_bytes

    try:
        return parse_bytes(text, 256 * MIB, 64 * TIB)
    except BadQuantity as error:
        raise typer.BadParameter(f"found {text!r}; {error}") from None
