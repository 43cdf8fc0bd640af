"""The columns of a join's result, and its keys: which of the two sides' types can be compared, and how.

Keys of one name on both sides are one column of the output, as SQL's USING has it; keys of different names are both
there. Other columns that both sides have get the suffixes. Columns of a side that may be missing become nullable.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import msgspec
import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Join
from shuffle_protocol.names import first_twice
from shuffle_worker.columns.arrow import Field
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.partitioning.pairing import Pairing, advice, pairing

SEMI = ("LeftSemi", "LeftAnti")
LEFT_KEPT = ("Left", "Full", "AsOf")
RIGHT_KEPT = ("Right", "Full")
_MIRRORED = {"RightSemi": "LeftSemi", "RightAnti": "LeftAnti"}

From = Literal["left", "right", "either"]


class OutputColumn(NamedTuple):
    """A column of the result."""

    field: Field
    source: From
    """The side that it is from; `either`: a key, from the side that has the row."""
    left: str = ""
    right: str = ""
    """`left`, `right`: the names of the columns that it is made of."""


def as_left(join: Join) -> Join:
    """A right semi or anti join as what it is: the left one of the two inputs the other way round. Any other as it
    is."""
    if join.how not in _MIRRORED:
        return join
    return msgspec.structs.replace(
        join,
        how=_MIRRORED[join.how],
        left=join.right,
        right=join.left,
        left_on=join.right_on,
        right_on=join.left_on,
    )


def key_names(join: Join) -> list[list[str]]:
    """The key columns by the job's inputs."""
    names = [join.left_on, join.right_on]
    return names if join.left == 0 else names[::-1]


def field_of_keys(join: Join, side: int) -> str:
    """How the job names the keys of the left (0) or the right side."""
    return f"{join.field}." + ("on" if join.left_on == join.right_on else ("leftOn", "rightOn")[side])


def told_type(join: Join) -> str:
    """For people: `left semi`."""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", join.how).lower()


def told_match(join: Join) -> str:
    """Which rows match, for people: ` on id = user, nulls equal, where l.a < r.a`."""
    pairs = zip(join.left_on, join.right_on, strict=True)
    keys = ", ".join(mine if mine == theirs else f"{mine} = {theirs}" for mine, theirs in pairs)
    on = f" on {keys}" if keys else ""
    nulls = ", nulls equal" if join.nulls_equal else ""
    where = f", where {join.where}" if join.where else ""
    return f"{on}{nulls}{where}"


def check_keys(join: Join) -> None:
    """Raises InvalidSpec where there are not as many keys of each side as it takes."""
    mine, theirs = len(join.left_on), len(join.right_on)
    if join.how == "Cross" and mine + theirs:
        raise InvalidSpec(
            f"{join.field}.type: a Cross join has no keys, because it pairs every row with every other; leave the keys "
            "out, or choose another type"
        )
    if join.how != "Cross" and (mine != theirs or not mine):
        raise InvalidSpec(
            f"{join.field}: {mine} keys of the left input and {theirs} of the right one are given; name as many of "
            "each, and at least one"
        )
    if join.where and join.as_of is not None:
        raise InvalidSpec(
            f"{join.field}.where: an as-of join has no condition besides; filter the inputs, or the result with "
            "output.filter"
        )


def pairings(join: Join, left: pa.Schema, right: pa.Schema) -> list[Pairing]:
    """How each pair of keys is compared. Raises InvalidSpec where a pair cannot be equal, saying both types."""
    found: list[Pairing] = []
    for at, (mine, theirs) in enumerate(zip(join.left_on, join.right_on, strict=True)):
        kinds = left.field(mine).type, right.field(theirs).type
        pair = pairing(*kinds)
        if pair is None:
            raise InvalidSpec(
                f"{field_of_keys(join, 0)}[{at}]: {mine!r} of the left input is {kinds[0]} and {theirs!r} of the right "
                f"one is {kinds[1]}: no value of the one equals one of the other; {advice(*kinds)}"
            )
        found.append(pair)
    return found


def output_columns(join: Join, left: pa.Schema, right: pa.Schema) -> list[OutputColumn]:
    """The columns of the result, in its order: the left side's, then the right one's. Raises InvalidSpec where two
    would have one name, or a key's types have none in common that holds both."""
    if join.how in SEMI:
        return [OutputColumn(field, "left", left=field.name) for field in left]
    pairs = pairings(join, left, right)
    both = {
        mine: at for at, (mine, theirs) in enumerate(zip(join.left_on, join.right_on, strict=True)) if mine == theirs
    }
    shared = {name for name in left.names if name in right.names and name not in both}
    columns: list[OutputColumn] = []
    for field in left:
        if field.name in both:
            columns.append(_key_column(join, both[field.name], pairs[both[field.name]], field, right.field(field.name)))
        else:
            name = field.name + (join.suffixes[0] if field.name in shared else "")
            nullable = field.nullable or join.how in RIGHT_KEPT
            columns.append(OutputColumn(field.with_name(name).with_nullable(nullable), "left", left=field.name))
    for field in right:
        if field.name not in both:
            name = field.name + (join.suffixes[1] if field.name in shared else "")
            nullable = field.nullable or join.how in LEFT_KEPT
            columns.append(OutputColumn(field.with_name(name).with_nullable(nullable), "right", right=field.name))
    twice = first_twice([column.field.name for column in columns])
    if twice is not None:
        raise InvalidSpec(
            f"{join.field}.suffixes: {join.suffixes[0]!r} and {join.suffixes[1]!r} would give two columns of the "
            f"output the name {twice!r}; choose others, or leave a column out with inputs[].columns"
        )
    return columns


def _key_column(join: Join, at: int, pair: Pairing, left: Field, right: Field) -> OutputColumn:
    name = left.name
    if join.how == "Right":
        return OutputColumn(right, "right", right=name)
    if join.how != "Full":
        return OutputColumn(left, "left", left=name)
    kind = left.type if left.type == right.type else pair.common
    if kind is None:
        raise InvalidSpec(
            f"{field_of_keys(join, 0)}[{at}]: {name!r} is {left.type} in the left input and {right.type} in the right "
            "one, and no type holds the values of both exactly, which the one key column of a full join must; give "
            "them different names with leftOn and rightOn, or one type in an earlier step"
        )
    merged = left.with_type(kind).with_nullable(left.nullable or right.nullable)
    return OutputColumn(merged, "either", left=name, right=name)


def keys_of(join: Join, left: pa.Schema, right: pa.Schema) -> tuple[JoinKeys, JoinKeys]:
    """The keys of the left and of the right side."""
    pairs = pairings(join, left, right)
    return JoinKeys(join.left_on, pairs, 0, join.nulls_equal), JoinKeys(join.right_on, pairs, 1, join.nulls_equal)
