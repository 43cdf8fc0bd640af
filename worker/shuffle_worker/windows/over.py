"""What stands behind OVER: a frame, and nothing else. Raises NotThatType."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sqlglot import exp

from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.windows.distances import Distance
from shuffle_worker.windows.frames import AFTER, BEFORE, HERE, End, WindowFrame

Offset = Callable[[exp.Expression, bool], int | Distance]
"""Reads an offset, of rows or in the column of the order."""

_EXAMPLE = "as in OVER ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"


def frame_of(over: exp.Window, offset: Offset) -> WindowFrame:
    if over.args.get("partition_by") or over.args.get("order"):
        raise NotThatType(
            "PARTITION BY and ORDER BY are said once for all functions, in operation.window.by and orderBy; OVER says "
            f"the frame alone, {_EXAMPLE}"
        )
    spec = over.args.get("spec")
    if spec is None or over.args.get("alias") is not None:
        raise NotThatType(
            f"OVER is followed by a frame, {_EXAMPLE}; the window itself is operation.window: leave OVER out for SQL's "
            "own frame, or write OVER ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING for the whole window"
        )
    unit = str(spec.args.get("kind") or "").upper()
    if unit == "GROUPS":
        raise NotThatType("GROUPS is not supported; there are ROWS and RANGE")
    if spec.args.get("exclude") is not None:
        raise NotThatType("EXCLUDE is not supported")
    rows = unit == "ROWS"
    start = _end(spec.args.get("start"), spec.args.get("start_side"), rows, offset, opens=True)
    end = End(HERE)
    if spec.args.get("end") is not None:
        end = _end(spec.args["end"], spec.args.get("end_side"), rows, offset, opens=False)
    frame = WindowFrame(rows, start, end)
    if _is_late(frame):
        raise NotThatType("the frame ends before it begins, so it never has a row")
    return frame


def _end(what: object, side: object, rows: bool, offset: Offset, *, opens: bool) -> End:
    way = {"PRECEDING": BEFORE, "FOLLOWING": AFTER}.get(str(side or "").upper(), HERE)
    if isinstance(what, str) and what.upper() == "CURRENT ROW":
        return End(HERE)
    if what is None or not way:
        raise NotThatType(f"a frame goes from one row to another, {_EXAMPLE}")
    if isinstance(what, str):
        if opens != (way == BEFORE):
            raise NotThatType("a frame cannot begin at the last row of the window, or end at the first")
        return End(way)
    return End(way, offset(cast("exp.Expression", what), rows))


def _is_late(frame: WindowFrame) -> bool:
    start, end = frame.start, frame.end
    if any(one.by is None and one.side for one in (start, end)):
        return False
    if start.side != end.side:
        return start.side > end.side
    counts = [one.by for one in (start, end) if isinstance(one.by, int)]
    return len(counts) == 2 and start.side * counts[0] > end.side * counts[1]
