"""Which functions of the user's a job calls. All who ask look here, so that no field is forgotten by one of them."""

from __future__ import annotations

from collections.abc import Iterator

from shuffle_operator.api.problems import Path
from shuffle_operator.api.spec import Spec


def functions_called(spec: Spec) -> list[tuple[Path, str]]:
    """Each with the field that names it. A function has a process of its own beside each lease."""
    return list(_called(spec))


def _called(spec: Spec) -> Iterator[tuple[Path, str]]:
    for at, item in enumerate(spec.inputs):
        if item.reader is not None:
            yield ("spec", "inputs", at, "reader"), item.reader
        if item.map is not None:
            yield ("spec", "inputs", at, "map"), item.map
    group, arrays = spec.operation.group_by, spec.operation.rechunk
    if group is not None and group.apply is not None:
        yield ("spec", "operation", "groupBy", "apply"), group.apply
    if arrays is not None and arrays.apply is not None:
        yield ("spec", "operation", "rechunk", "apply"), arrays.apply
