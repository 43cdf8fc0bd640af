"""The columns that a function returns, found by calling it for a sample, where the job does not declare them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.names import first_twice
from shuffle_protocol.units import some
from shuffle_worker.columns.arrow import parts
from shuffle_worker.functions.failures import CalledFunction

DIFFERING = 5
"""Columns that an error lists."""


def unknown(called: CalledFunction, why: str) -> InvalidSpec:
    """The error for columns that cannot be found out."""
    return InvalidSpec(
        f"{called.schema_field}: is not given, and cannot be found out by calling {called.function}: {why}; declare "
        "the columns that it returns"
    )


def common_schema(schemas: Sequence[pa.Schema], called: CalledFunction) -> pa.Schema:
    """The columns of all results for a sample, in the order of the first. A column of nulls gets the type that it has
    elsewhere, and numbers the wider of their types. Raises InvalidSpec."""
    if not schemas:
        raise unknown(called, "it returned nothing for the sample")
    schema = pa.schema([_field(name, schemas, called) for name in _names(schemas, called)])
    nothing = [field.name for field in schema if pa.types.is_null(field.type)]
    if nothing:
        raise unknown(called, f"the column {nothing[0]!r} holds nothing but nulls in what it returned for a sample")
    return schema


def _names(schemas: Sequence[pa.Schema], called: CalledFunction) -> list[str]:
    first = schemas[0]
    twice = first_twice(first.names)
    if twice is not None:
        raise InvalidSpec(
            f"{called.field}: {called.function} returned a table in which {twice!r} is there more than once"
        )
    for other in schemas[1:]:
        if set(other.names) != set(first.names):
            differing = sorted(set(other.names) ^ set(first.names))
            raise InvalidSpec(
                f"{called.field}: {called.function} returned tables of different columns for two {called.parts} of a "
                f"sample: {some([repr(name) for name in differing], DIFFERING)} is in one of them only"
            )
    return list(first.names)


def _field(name: str, schemas: Sequence[pa.Schema], called: CalledFunction) -> pa.Field[pa.DataType]:
    found = [pa.schema([schema.field(name)]) for schema in schemas]
    try:
        return parts(pa).unify_schemas(found, promote_options="permissive").field(0).with_nullable(True)  # type: ignore[no-any-return]
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        kinds = ", ".join(dict.fromkeys(str(one.field(0).type) for one in found))
        raise InvalidSpec(
            f"{called.field}: {called.function} returned {name!r} with different types for {called.parts} of a "
            f"sample: {kinds}; declare its columns in {called.schema_field}"
        ) from error
