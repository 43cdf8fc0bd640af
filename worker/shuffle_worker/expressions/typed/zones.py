"""AT TIME ZONE: from what a clock shows to the moment, and back. Raises NotThatType."""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, call, scalar, timestamp
from shuffle_worker.expressions.typed.clock import local, to_zone, unit_of, zone_of
from shuffle_worker.expressions.typed.expression import Call, Expression
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.rows import arrays
from shuffle_worker.expressions.typed.written import Text, folded, taken_as


def at_zone(moment: Expression, zone: str, words: str) -> Expression:
    """A timestamp without a zone: the moment when clocks there show it. With one: what clocks there show then."""
    try:
        call("assume_timezone", scalar("2026-01-01", pa.timestamp("us")), zone)
    except (pa.ArrowException, ValueError):
        raise NotThatType(f"'{zone}' is no time zone; write one such as 'Europe/Berlin' or 'UTC'") from None
    if isinstance(moment, Text) or pa.types.is_date(moment.type):
        moment = taken_as(moment, pa.timestamp("us"))
    kind = moment.type
    if not pa.types.is_timestamp(kind):
        raise NotThatType(f"AT TIME ZONE needs a timestamp, {words} is {kind}")
    if zone_of(kind) is None:
        there = timestamp(unit_of(kind), zone)
        return folded(Call(there, lambda values: to_zone(arrays(values)[0], zone), moment))
    return folded(Call(timestamp(unit_of(kind)), lambda values: _shown(arrays(values)[0], zone), moment))


def _shown(moments: Array, zone: str) -> Array:
    return local(moments.cast(timestamp(unit_of(moments.type), zone)))
