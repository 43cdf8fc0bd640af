"""A plan as a tree in the terminal: what `explain` shows, and after a run the same with what was done beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from shuffle_operator.api.status import ByteCounts, RowCounts, Status
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Figures, PlanNode
from shuffle_protocol.units import readable

Actual = Mapping[str, Figures]
"""What was done, by the step's name."""


def actual_of(end: Snapshot) -> Actual:
    """What a run on this machine did."""
    assert end.tree is not None
    return _actual(
        end.tree,
        read=Figures(rows=end.rows_read, bytes=end.bytes_read),
        moved=Figures(rows=end.rows_received, bytes=end.bytes_sent, spilled=end.bytes_spilled),
        written=Figures(rows=end.rows_written, bytes=end.bytes_written, files=end.files),
    )


def actual_in(status: Status, tree: PlanNode) -> Actual:
    """What a job in a cluster did, as its status says."""
    rows, sizes, output = status.rows or RowCounts(), status.bytes or ByteCounts(), status.output
    return _actual(
        tree,
        read=Figures(rows=_known(rows.read), bytes=_known(sizes.read)),
        moved=Figures(rows=_known(rows.received), bytes=_known(sizes.sent), spilled=_known(sizes.spilled)),
        written=Figures(
            rows=_known(rows.written), bytes=_known(sizes.written), files=_known(output.files if output else None)
        ),
    )


def _known(count: int | None) -> int:
    return -1 if count is None else count


def _actual(tree: PlanNode, read: Figures, moved: Figures, written: Figures) -> Actual:
    """Rows and bytes read are counted of all inputs together; they stand at an input's own steps where it is alone."""
    found = {"Write": written, "Shuffle": moved}
    steps = [node.step for node in _nodes(tree)]
    if steps.count("Read") == 1 and "Filter" in steps:
        found |= {"Filter": Figures(rows=read.rows), "Read": Figures(bytes=read.bytes)}
    elif steps.count("Read") == 1:
        found["Read"] = read
    return found


def show(console: Console, tree: PlanNode, actual: Actual | None = None) -> None:
    """On a terminal in colour, lines broken between words to fit; elsewhere whole lines of plain text."""
    if not console.is_terminal:
        for line in plain_lines(tree, actual):
            console.print(line, markup=False, soft_wrap=True)
        return
    root = Tree(_label(tree, actual), guide_style="dim")
    _grow(root, tree, actual)
    console.print(root)


def plain_lines(tree: PlanNode, actual: Actual | None = None) -> Iterator[str]:
    """The tree as text, no line of which is cut."""
    yield from _label(tree, actual).plain.split("\n")
    for one in tree.inputs:
        last = one is tree.inputs[-1]
        first, *others = plain_lines(one, actual)
        yield ("└── " if last else "├── ") + first
        yield from (("    " if last else "│   ") + line for line in others)


def figures(found: Figures, moved: bool) -> str:
    """'2.1 GiB, 27,000,000 rows'. moved: of a step in which bytes move rather than lie in files."""
    parts = []
    if found.files >= 0:
        parts.append(f"{found.files:,} file{'' if found.files == 1 else 's'}")
    if found.bytes >= 0:
        parts.append(readable(found.bytes) + (" moved" if moved else ""))
    if found.rows >= 0:
        parts.append(f"{found.rows:,} row{'' if found.rows == 1 else 's'}")
    if found.spilled >= 0:
        parts.append(f"{readable(found.spilled)} spilled" if found.spilled else "nothing spilled")
    return ", ".join(parts)


def _grow(branch: Tree, node: PlanNode, actual: Actual | None) -> None:
    for one in node.inputs:
        _grow(branch.add(_label(one, actual)), one, actual)


def _label(node: PlanNode, actual: Actual | None) -> Text:
    text = Text.assemble((node.step, "bold cyan"), "  ", node.what)
    for line in node.why:
        text.append(f"\n{line}", style="dim")
    moved = node.step == "Shuffle"
    estimated = figures(node.estimated, moved)
    if estimated:
        text.append(f"\nestimated {estimated}")
    done = figures(actual[node.step], moved) if actual is not None and node.step in actual else ""
    if done:
        text.append(f"\nactual    {done}", style="bold")
    return text


def _nodes(tree: PlanNode) -> list[PlanNode]:
    return [tree, *(node for one in tree.inputs for node in _nodes(one))]
