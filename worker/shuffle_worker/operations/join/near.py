"""What an as-of join goes by, from the job and the types of its columns of time: how they are compared, and how near is
near enough. Refuses columns that have no distance and tolerances that are no distance of theirs."""

from __future__ import annotations

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import AsOf, Join
from shuffle_protocol.spans import parse_span
from shuffle_worker.columns.convert import transport_type
from shuffle_worker.partitioning.nearest import Rule, Scale, scale_of

_WORDS = {
    ("Backward", True): "at or before",
    ("Backward", False): "before",
    ("Forward", True): "at or after",
    ("Forward", False): "after",
    ("Nearest", True): "nearest to",
    ("Nearest", False): "nearest to, but not at,",
}

_MOST = (1 << 64) - 1
"""The largest distance of two whole numbers."""


def near(join: Join, asked: AsOf, left: pa.Schema, right: pa.Schema) -> Rule:
    """Raises InvalidSpec."""
    for field, name, keys in (("left", asked.left, join.left_on), ("right", asked.right, join.right_on)):
        if name in keys:
            raise InvalidSpec(
                f"operation.join.asOf.{field}: {name!r} is a key of the join, so equal already; name the column that "
                "says when, and leave it out of the keys"
            )
    kinds = [transport_type(left.field(asked.left).type), transport_type(right.field(asked.right).type)]
    scale = scale_of(kinds[0], kinds[1])
    if scale is None:
        raise InvalidSpec(
            f"operation.join.asOf: {asked.left!r} of the left input is {kinds[0]} and {asked.right!r} of the right one "
            f"is {kinds[1]}: there is no distance between them; bring both to one type, with inputs[].compute as in "
            "t: CAST(t AS DOUBLE): timestamps (both with a time zone or both without), dates, times, durations, whole "
            "numbers or floats"
        )
    return Rule(
        backward=asked.direction in ("Backward", "Nearest"),
        forward=asked.direction in ("Forward", "Nearest"),
        exact=asked.exact,
        scale=scale,
        limit=_limit(asked, scale, kinds[0]) if asked.tolerance else None,
    )


def _limit(asked: AsOf, scale: Scale, kind: pa.DataType) -> float:
    where = f"operation.join.asOf.tolerance: {asked.tolerance!r} is"
    span = parse_span(asked.tolerance)
    if scale.nanos:
        if span is None:
            raise InvalidSpec(f"{where} a number, but {asked.left!r} is {kind}; give a span of time, such as 5m or 2s")
        return min(span // scale.nanos, _MOST)
    if span is not None:
        raise InvalidSpec(f"{where} a span of time, but {asked.left!r} is {kind}; give a number")
    if scale.floats:
        return float(asked.tolerance)
    if not asked.tolerance.isdecimal():
        raise InvalidSpec(f"{where} no whole number, but {asked.left!r} is {kind}; give a whole number")
    return min(int(asked.tolerance), _MOST)


def told_near(asked: AsOf) -> str:
    """In words."""
    within = f", within {asked.tolerance}" if asked.tolerance else ""
    return f"the {asked.right} {_WORDS[asked.direction, asked.exact]} {asked.left}{within}"
