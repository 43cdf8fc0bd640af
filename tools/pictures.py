"""Draws the pictures of docs/pictures: what each operation does to a few rows, before and after.

python tools/pictures.py            writes them; a test fails where one is another

A picture is made of the rows that it shows: what stands on its right side is worked out of what stands on its left, so
that it cannot be wrong. Colours say which key a row has. They are readable on a light and on a dark page.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "docs/pictures"

KEYS = {"ada": "#8ecae6", "bob": "#ffd166", "eve": "#b5e48c", "kim": "#f7a8b8"}
"""Users, and the colours of their rows: told apart by those who see few colours, too."""
PLAIN, INK, LINE, CAPTION = "#e5e7eb", "#111827", "#6b7280", "#6b7280"
CELL, HEIGHT, GAP, BETWEEN = 46, 22, 14, 150


class Row(NamedTuple):
    """A row: the texts of its cells, and the key that it is coloured by."""

    cells: tuple[str, ...]
    key: str


class File(NamedTuple):
    """A file: what is written below it, and its rows."""

    name: str
    rows: list[Row]


def row(*cells: object, key: str | None = None) -> Row:
    texts = tuple(str(cell) for cell in cells)
    return Row(texts, texts[0] if key is None else key)


class Canvas:
    """Shapes, and how far they reach."""

    def __init__(self) -> None:
        self.shapes: list[str] = []
        self.width = self.height = 0.0

    def add(self, shape: str, right: float, bottom: float) -> None:
        self.shapes.append(shape)
        self.width, self.height = max(self.width, right), max(self.height, bottom)

    def box(self, x: float, y: float, width: float, height: float, fill: str, *, edge: str = "#ffffff") -> None:
        shape = (
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" stroke="{edge}" rx="3"/>'
        )
        self.add(shape, x + width, y + height)

    def text(self, x: float, y: float, words: str, *, fill: str = INK, anchor: str = "middle") -> None:
        shape = f'<text x="{x:g}" y="{y:g}" fill="{fill}" text-anchor="{anchor}">{html.escape(words)}</text>'
        self.add(shape, x, y + 4)

    def line(self, points: Iterable[tuple[float, float]], *, arrow: bool = False, width: float = 1.5) -> None:
        places = list(points)
        drawn = " ".join(f"{x:g},{y:g}" for x, y in places)
        head = ' marker-end="url(#head)"' if arrow else ""
        shape = f'<polyline points="{drawn}" fill="none" stroke="{LINE}" stroke-width="{width:g}"{head}/>'
        self.add(shape, max(x for x, _ in places), max(y for _, y in places))

    def svg(self, title: str) -> str:
        width, height = self.width + 8, self.height + 8
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
                f' height="{height:g}" font-family="ui-monospace, monospace" font-size="12" role="img">',
                f"<title>{html.escape(title)}</title>",
                '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
                f' orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>',
                *self.shapes,
                "</svg>\n",
            ]
        )


def files(canvas: Canvas, x: float, y: float, shown: Sequence[File]) -> tuple[float, float]:
    """Draw files below each other; where they end on the right and below."""
    right = x
    for file in shown:
        for one in file.rows:
            for at, cell in enumerate(one.cells):
                canvas.box(x + at * CELL, y, CELL, HEIGHT, KEYS.get(one.key, PLAIN))
                canvas.text(x + at * CELL + CELL / 2, y + 15, cell)
            right = max(right, x + len(one.cells) * CELL)
            y += HEIGHT
        canvas.text(x, y + 14, file.name, fill=CAPTION, anchor="start")
        right = max(right, x + 7.3 * len(file.name))
        y += 18 + GAP
    return right, y


def height(shown: Sequence[File]) -> float:
    return sum(len(file.rows) * HEIGHT + 18 + GAP for file in shown) - GAP


def table(title: str, words: str, before: Sequence[File], after: Sequence[File]) -> str:
    """Files on the left, files on the right, and an arrow with the operation between."""
    canvas = Canvas()
    tallest = max(height(before), height(after))
    right, _ = files(canvas, 8, 8 + (tallest - height(before)) / 2, before)
    gap = max(BETWEEN, 7.6 * len(words) + 24)
    files(canvas, right + gap, 8 + (tallest - height(after)) / 2, after)
    middle = 8 + tallest / 2
    canvas.line([(right + 10, middle), (right + gap - 10, middle)], arrow=True)
    canvas.text(right + gap / 2, middle - 10, words, fill=CAPTION)
    return canvas.svg(title)


EVENTS = [
    [row("ada", 3), row("bob", 7), row("eve", 1), row("ada", 9)],
    [row("bob", 2), row("kim", 5), row("ada", 6), row("eve", 8)],
]
"""Two files of events: who, and when."""
ALL = [one for rows in EVENTS for one in rows]
INPUT = [File(f"input {at}", rows) for at, rows in enumerate(EVENTS)]


def when(one: Row) -> int:
    return int(one.cells[1])


def by_user(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for one in rows:
        found.setdefault(one.key, []).append(one)
    return found


def parts(*lists: list[Row]) -> list[File]:
    return [File(f"part {at}", rows) for at, rows in enumerate(lists)]


def repartition() -> str:
    users = by_user(ALL)
    return table(
        "Rows of two files; in the output all rows of a user are in one file", "repartition by user",
        INPUT, parts(users["ada"] + users["kim"], users["bob"] + users["eve"]),
    )  # fmt: skip


def sort() -> str:
    ordered = sorted(ALL, key=when)
    return table(
        "Rows of two files; in the output each file goes on where the one before ends", "sort by time", INPUT,
        parts(ordered[:4], ordered[4:]),
    )  # fmt: skip


def random_order() -> str:
    places = [5, 0, 7, 2, 6, 3, 1, 4]
    drawn = [ALL[at] for at in places]
    return table(
        "Rows of two files; in the output each row has a random place",
        "random",
        INPUT,
        parts(drawn[:4], drawn[4:]),
    )


def group_by() -> str:
    totals = [row(user, len(rows), sum(map(when, rows)), key=user) for user, rows in by_user(ALL).items()]
    return table(
        "One row for each user, with figures of all its rows", "count, sum(n)", INPUT, parts(totals[::2], totals[1::2])
    )


def distinct() -> str:
    newest = [max(rows, key=when) for rows in by_user(ALL).values()]
    return table("Of each user the row with the latest time", "newest by user", INPUT, parts(newest[::2], newest[1::2]))


def apply() -> str:
    sessions: list[Row] = []
    for user, rows in by_user(ALL).items():
        for _, some in itertools.groupby(sorted(map(when, rows)), key=lambda time: time // 4):
            times = list(some)
            sessions.append(row(user, f"{times[0]}-{times[-1]}", key=user))
    return table(
        "All rows of a user go to your function; what it returns is written", "your function", INPUT,
        parts(sessions[:4], sessions[4:]),
    )  # fmt: skip


def join() -> str:
    countries = {"ada": "DE", "bob": "AT", "eve": "CH"}
    users = [row(user, country) for user, country in countries.items()]
    joined = [Row((*one.cells, countries.get(one.key, "-")), one.key) for one in ALL]
    halves = by_user(joined)
    return table(
        "Events and users; in the output each event has its user's country", "left join",
        [File("events", ALL), File("users", users)],
        parts(halves["ada"] + halves["kim"], halves["bob"] + halves["eve"]),
    )  # fmt: skip


def window() -> str:
    out: list[list[Row]] = [[], []]
    for at, (user, rows) in enumerate(by_user(ALL).items()):
        total = 0
        for number, one in enumerate(sorted(rows, key=when), 1):
            total += when(one)
            out[at % 2].append(Row((*one.cells, f"#{number}", str(total)), user))
    return table("Every row with its number and the sum so far of its user", "row_number, sum", INPUT, parts(*out))


def union() -> str:
    web = [row("ada", 3), row("bob", 7)]
    shop = [row("kim", 5), row("ada", 6)]
    both = [Row((*one.cells, name), one.key) for name, rows in (("web", web), ("shop", shop)) for one in rows]
    users = by_user(both)
    return table(
        "Rows of two inputs, in one output, with the input that each came from", "union",
        [File("web", web), File("shop", shop)], parts(users["ada"], users["bob"] + users["kim"]),
    )  # fmt: skip


def map_batches() -> str:
    mapped = [[Row((one.cells[0].upper(), str(when(one) * 2)), one.key) for one in rows] for rows in EVENTS]
    return table("Your function makes other columns of each batch of rows", "map", INPUT, parts(*mapped))


def grid(canvas: Canvas, x: float, y: float, chunks: tuple[int, int], colour: Callable[[int, int], str]) -> None:
    """An array of 8 by 8 cells, thick lines where its chunks are."""
    size = 18
    for line, column in itertools.product(range(8), range(8)):
        canvas.box(x + column * size, y + line * size, size, size, colour(line, column))
    for at in range(0, 9, chunks[0]):
        canvas.line([(x, y + at * size), (x + 8 * size, y + at * size)], width=2.5)
    for at in range(0, 9, chunks[1]):
        canvas.line([(x + at * size, y), (x + at * size, y + 8 * size)], width=2.5)


def arrays(title: str, words: str, before: tuple[int, int], after: tuple[int, int], lit: set[tuple[int, int]]) -> str:
    canvas = Canvas()
    side = 8 * 18

    def colour(line: int, column: int) -> str:
        return KEYS["ada"] if (line, column) in lit else PLAIN

    grid(canvas, 8, 8, before, colour)
    grid(canvas, 8 + side + BETWEEN, 8, after, colour)
    canvas.line([(side + 18, 8 + side / 2), (side + BETWEEN - 2, 8 + side / 2)], arrow=True)
    canvas.text(8 + side + BETWEEN / 2, side / 2 - 2, words, fill=CAPTION)
    canvas.text(8, side + 24, "chunks before", fill=CAPTION, anchor="start")
    canvas.text(8 + side + BETWEEN, side + 24, "chunks after", fill=CAPTION, anchor="start")
    return canvas.svg(title)


def rechunk() -> str:
    place = {(line, column) for line in range(8) for column in (2, 3)}
    return arrays("All times of a place are in one chunk; before they were in eight", "rechunk", (1, 8), (8, 2), place)


def overlap() -> str:
    """A chunk with its halo on the left, and what is written of it on the right."""
    canvas = Canvas()
    side = 8 * 18

    def read(line: int, column: int) -> str:
        inside = 4 <= line < 8 and 4 <= column < 8
        return KEYS["ada"] if inside else KEYS["bob"] if line >= 3 and column >= 3 else PLAIN

    grid(canvas, 8, 8, (4, 4), read)
    grid(
        canvas, 8 + side + BETWEEN, 8, (4, 4), lambda line, column: KEYS["ada"] if line >= 4 and column >= 4 else PLAIN
    )
    canvas.line([(side + 18, 8 + side / 2), (side + BETWEEN - 2, 8 + side / 2)], arrow=True)
    canvas.text(8 + side + BETWEEN / 2, side / 2 - 2, "your function", fill=CAPTION)
    canvas.text(8, side + 24, "read, with its halo", fill=CAPTION, anchor="start")
    canvas.text(8 + side + BETWEEN, side + 24, "written", fill=CAPTION, anchor="start")
    return canvas.svg("A chunk is read with the cells around it, and written without them")


def curve(order: int) -> list[tuple[int, int]]:
    """Cells of a square of 2^order a side, along a Hilbert curve."""

    def place(index: int) -> tuple[int, int]:
        x = y = 0
        for bit in (1 << at for at in range(order)):
            right, down = 1 & (index // 2), 1 & (index ^ (index // 2))
            if not down:
                if right:
                    x, y = bit - 1 - x, bit - 1 - y
                x, y = y, x
            x, y = x + bit * right, y + bit * down
            index //= 4
        return x, y

    return [place(index) for index in range(4**order)]


def cluster() -> str:
    canvas = Canvas()
    size, colours = 22, [*KEYS.values()]
    cells = curve(3)
    for at, (x, y) in enumerate(cells):
        canvas.box(30 + x * size, 8 + y * size, size, size, colours[at // 16])
    canvas.line([(30 + x * size + size / 2, 8 + y * size + size / 2) for x, y in cells])
    canvas.text(30 + 4 * size, 8 * size + 26, "user_id", fill=CAPTION)
    canvas.text(4, 8 + 4 * size, "ts", fill=CAPTION, anchor="start")
    for at, colour in enumerate(colours):
        canvas.box(30 + 9 * size, 20 + at * 34, size, size, colour)
        canvas.text(30 + 10.4 * size, 35 + at * 34, f"part {at}", fill=CAPTION, anchor="start")
        canvas.add("", 30 + 14 * size, 0)
    return canvas.svg("Rows by two columns; a curve visits them, and each file is a piece of the curve")


def as_of_join() -> str:
    trades = [row("ada", 3), row("ada", 6), row("bob", 7)]
    quotes = [row("ada", 1), row("ada", 5), row("bob", 2), row("bob", 8)]
    joined = []
    for one in trades:
        before = [when(quote) for quote in quotes if quote.key == one.key and when(quote) <= when(one)]
        joined.append(Row((*one.cells, str(max(before))), one.key))
    return table(
        "Each trade with the time of the last quote before it", "as-of join",
        [File("trades", trades), File("quotes", quotes)], parts(joined[:2], joined[2:]),
    )  # fmt: skip


def shuffle() -> str:
    """What the README begins with: inputs, workers that send to each other, outputs."""
    canvas = Canvas()
    users = by_user(ALL)
    workers = [users["ada"] + users["kim"], users["bob"] + users["eve"]]
    block = height(INPUT) / 2
    files(canvas, 8, 8, INPUT)
    left, right = 8 + 2 * CELL, 8 + 2 * CELL + 2 * BETWEEN + 90
    files(canvas, right, 8, parts(*workers))
    centre = [8 + block / 2 - 8, 8 + block * 1.5 + 4]
    middle = left + BETWEEN + 45
    for at, y in enumerate(centre):
        canvas.box(middle - 45, y - 24, 90, 48, PLAIN, edge=LINE)
        canvas.text(middle, y - 2, f"worker {at}")
        canvas.text(middle, y + 14, "+ scratch", fill="#4b5563")
        canvas.line([(left + 8, y), (middle - 51, y)], arrow=True)
        canvas.line([(middle + 51, y), (right - 8, y)], arrow=True)
        canvas.text((left + middle) / 2 - 20, y - 8, "reads", fill=CAPTION)
        canvas.text((middle + right) / 2 + 20, y - 8, "writes", fill=CAPTION)
    canvas.line([(middle - 12, centre[0] + 28), (middle - 12, centre[1] - 28)], arrow=True)
    canvas.line([(middle + 12, centre[1] - 28), (middle + 12, centre[0] + 28)], arrow=True)
    canvas.text(middle + 24, (centre[0] + centre[1]) / 2 + 4, "Arrow, over HTTP", fill=CAPTION, anchor="start")
    return canvas.svg("Workers read the input, send each other the rows that belong together, and write the output")


PICTURES: dict[str, Callable[[], str]] = {
    "shuffle": shuffle,
    "repartition": repartition,
    "random-order": random_order,
    "sort": sort,
    "cluster": cluster,
    "join": join,
    "as-of-join": as_of_join,
    "union": union,
    "group-by": group_by,
    "distinct": distinct,
    "window": window,
    "apply": apply,
    "map": map_batches,
    "rechunk": rechunk,
    "map-overlap": overlap,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
