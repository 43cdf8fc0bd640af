"""A plan as text: nothing of it is cut where there is no terminal, and on a terminal words stay whole."""

from __future__ import annotations

import io

from rich.console import Console

from shuffle_local.cli.plan_tree import show
from shuffle_protocol.messages import PlanNode

LONG = "kind IN (" + ", ".join(f"'value number {n}'" for n in range(60)) + ")"
TREE = PlanNode(
    "Join", "of two", ["why [so]"], inputs=[PlanNode("Filter", LONG, ["a reason"], inputs=[PlanNode("Read", "a/")]),
    PlanNode("Read", "b/")],
)  # fmt: skip


def test_in_a_pipe_lines_are_whole() -> None:
    out = io.StringIO()
    show(Console(file=out, width=40), TREE)
    assert out.getvalue() == (
        "Join  of two\n"
        "why [so]\n"
        f"├── Filter  {LONG}\n"
        "│   a reason\n"
        "│   └── Read  a/\n"
        "└── Read  b/\n"
    )  # fmt: skip


def test_on_a_terminal_words_are() -> None:
    out = io.StringIO()
    show(Console(file=out, width=40, force_terminal=True, color_system=None), TREE)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(LONG.split()) in " ".join(" ".join(line.strip("│├└─ ") for line in lines).split())
