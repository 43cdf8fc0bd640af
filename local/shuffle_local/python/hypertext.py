"""What a notebook shows, as HTML. Everything that comes from data or from people goes through `text`.

Kept to what any notebook's sanitizer lets through: no scripts, no styles but a few of an element's own.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from shuffle_local.cli.bar import details
from shuffle_local.cli.plan_tree import Actual, figures
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import PlanNode


def clean(value: object) -> str:
    """Nothing that a terminal or a browser would obey: no control characters, none that turn the text's direction."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value))


def text(value: object) -> str:
    """Text as HTML has it."""
    return html.escape(clean(value), quote=True)


def bar(now: Snapshot, notes: Sequence[str] = ()) -> str:
    lines = [*notes, *(f"Note: {note}" for note in now.notes), *details(now)]
    below = "".join(f"<br><small>{text(line)}</small>" for line in lines)
    return (
        f"<div><b>{text(now.phase)}</b> <progress value='{now.progress:.0f}' max='100'></progress> "
        f"{now.progress:.0f} % {int(now.seconds)} s{below}</div>"
    )


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Labels and values."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{text(label)}</th><td style='text-align:left'>{text(value)}</td></tr>"
        for label, value in rows
    )
    return f"<table>{cells}</table>"


def heading(kind: str, name: str, said: str = "") -> str:
    return f"<div><b>{text(kind)} {text(name)}</b>{text(said)}</div>"


def tree(node: PlanNode, actual: Actual | None = None) -> str:
    """A plan, with what was done beside what was expected."""
    return f"<ul>{_branch(node, actual)}</ul>"


def _branch(node: PlanNode, actual: Actual | None) -> str:
    moved = node.step == "Shuffle"
    lines = [f"<small>{text(line)}</small>" for line in node.why]
    estimated = figures(node.estimated, moved)
    if estimated:
        lines.append(f"estimated {text(estimated)}")
    done = figures(actual[node.step], moved) if actual is not None and node.step in actual else ""
    if done:
        lines.append(f"<b>actual {text(done)}</b>")
    below = "".join(_branch(each, actual) for each in node.inputs)
    said = "".join(f"<br>{line}" for line in lines)
    return f"<li><b>{text(node.step)}</b> {text(node.what)}{said}{f'<ul>{below}</ul>' if below else ''}</li>"
