"""`side`: one of several small tables that another is joined with in one pass (`ReadTable.join_sides`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shuffle_local.python.bodies import refused
from shuffle_local.python.keys import Columns, listed

if TYPE_CHECKING:
    from shuffle_local.python.tables import ReadTable

SideType = Literal["Inner", "Left", "LeftSemi", "LeftAnti", "Cross"]


@dataclass(frozen=True, slots=True)
class JoinedSide:
    """A table, and how it is joined."""

    table: ReadTable
    arguments: Mapping[str, Any]
    """By the names of the resource's model."""


def side(  # noqa: PLR0913 - all fields of a side
    right: ReadTable,
    on: Columns | None = None,
    *,
    left_on: Columns | None = None,
    right_on: Columns | None = None,
    how: SideType | None = None,
    suffixes: tuple[str, str] | None = None,
    nulls_equal: bool | None = None,
    where: str | None = None,
) -> JoinedSide:
    """One side of `join_sides`: a table that fits in each worker's memory. left_on and l in `where` may be any column
    that is joined before it. The arguments are those of `ReadTable.join`."""
    if right.others:
        raise refused("side", "right", "a union is no side of a join; write it first, and join the result")
    keys = {"on": listed(on), "left_on": listed(left_on), "right_on": listed(right_on)}
    return JoinedSide(right, {**keys, "type": how, "suffixes": suffixes, "nulls_equal": nulls_equal, "where": where})
