"""Which columns can be keys: there, selected, and of a type that has an order and one canonical form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, SortKey
from shuffle_protocol.names import check_column, first_twice
from shuffle_worker.partitioning.hash import can_hash
from shuffle_worker.partitioning.order import can_order


class Key(NamedTuple):
    """A key column of an input, and the job's field that names it."""

    input: int
    column: str
    where: str


def check_key(key: Key, found: pa.Schema, kept: pa.Schema, what: str = "the input") -> None:
    """found: every column of the key's input; kept: those selected; what: has them, for people. Raises InvalidSpec."""
    check_column(key.column, found.names, key.where, what)
    if kept.get_field_index(key.column) < 0:
        raise InvalidSpec(
            f"{key.where}: {key.column!r} is a key but not among inputs[{key.input}].columns; add it there"
        )
    kind = kept.field(key.column).type
    if not (can_order(kind) and can_hash(kind)):
        raise InvalidSpec(
            f"{key.where}: {key.column!r} is {kind}, which can be neither ordered nor hashed as a key; "
            "choose a column of numbers, text, bytes, times or booleans"
        )


def check_sort_within(job: Job, output: pa.Schema, found: pa.Schema | None = None) -> None:
    """output.sortWithin against the columns of the output. found: every column of the input, where the output's columns
    are the input's, so that the error says whether a column is absent or was not selected."""
    names = [key.column for key in job.output.sort_within]
    for at, name in enumerate(names):
        where = f"output.sortWithin[{at}]"
        if name in job.output.compute:
            raise InvalidSpec(
                f"{where}: {name!r} is computed by output.compute, after the rows are in order; compute it by "
                "inputs[0].compute, or sort by what it is made of"
            )
        if found is None:
            check_column(name, output.names, where, "the output")
        check_key(Key(0, name, where), output if found is None else found, output)
    refuse_twice(names, "output.sortWithin")


def told_order(keys: Sequence[SortKey]) -> str:
    """An order in words."""
    return ", ".join(
        f"{key.column} {'descending' if key.descending else 'ascending'}, nulls "
        f"{'first' if key.nulls_first else 'last'}"
        for key in keys
    )


def refuse_twice(names: Sequence[str], where: str) -> None:
    twice = first_twice(names)
    if twice is not None:
        raise InvalidSpec(f"{where}: {twice!r} is named twice")
