"""What is sent to a live page: the history in parts, and only those that are new.

A part is one of the document's fields, or an item of one of its long lists. Each part has a number that rises whenever
it changes; a page that has seen all up to a number lacks those above. So nothing is kept for a page, and one that
connects again goes on where it was.

Memory: the document once more as JSON, below 640 KiB with 500 workers, while somebody looks.
"""

from __future__ import annotations

import bisect
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.figures import WorkerState

MOST = 48 << 10
"""Bytes of parts in an update; a part that is larger goes alone. Texts of the largest ones are bounded by
`telling.py`."""

ROWS = 24 << 10
"""Bytes of workers' rows that may be new at a time: with hundreds of workers all of them change every second, and each
is sent every few seconds, in turn."""

LISTS = (
    ("timeline", "columns"),
    ("timeline", "memory"),
    ("timeline", "samples"),
    ("marks", "marks"),
    ("workers",),
    ("slowest",),
    ("matrix", "bytes"),
    ("losses", "lost"),
)
"""Those of which each item is a part."""

OPENED = {path[0] for path in LISTS if len(path) > 1}
"""Fields of which each field is a part."""


class Update(Struct, frozen=True, omit_defaults=True):
    """Parts of a `JobHistory` that are new.

    `set` maps the path of a part to its new value: "verdict", "timeline/width", "timeline/columns/17", "workers/3".
    Apply `length` first (lists are cut, never filled), then `set`; items of a list come in any order. When `more` is
    true the next update belongs to the same state: draw only after the last of them.
    """

    reset: bool = False
    """Forget everything that came before."""
    length: dict[str, int] = msgspec.field(default_factory=dict)
    """How long these lists are now, at the most."""
    set: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    more: bool = False


@dataclass(frozen=True, slots=True)
class NumberedUpdate:
    """An update as it is sent."""

    id: str
    """What a page says that has all up to this one."""
    data: bytes
    """`Update` as JSON: below 64 KiB."""


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A part's place in the order in which parts changed."""

    number: int
    path: str
    is_length: bool
    """It says how long the list with that path is."""


@dataclass(slots=True)
class LiveDocument:
    """One job's history in parts. `show` it the newest document; ask what a page lacks."""

    stream: str = field(default_factory=lambda: secrets.token_hex(4))
    """Of this process and job: a number of another says nothing here."""
    number: int = 0
    """Of the part that changed last."""
    _parts: dict[tuple[str, bool], _Part] = field(default_factory=dict)  # by path, and whether it is a length
    _order: list[_Place] = field(default_factory=list)
    _turn: int = 0
    """The worker whose row is the first that may be new."""

    def show(self, history: JobHistory) -> bool:
        """Take what is new in it. Returns whether anything is."""
        before = self.number
        lengths = dict(_lengths(history))
        for path, length in lengths.items():
            self._note((path, True), str(length).encode())
        for path, data in _parts(history):
            self._note((path, False), data)
        self._rows(history.workers, everything=history.progress.over)
        if self.number == before:
            return False
        for key in [key for key in self._parts if _beyond(key, lengths)]:
            del self._parts[key]
        self._order = sorted(_Place(part.number, *key) for key, part in self._parts.items())
        return True

    def _note(self, key: tuple[str, bool], data: bytes) -> int:
        """Returns how many bytes of it are new."""
        part = self._parts.get(key)
        if part is not None and part.data == data:
            return 0
        self.number += 1
        self._parts[key] = _Part(self.number, data)
        return len(data)

    def _rows(self, workers: list[WorkerState], *, everything: bool) -> None:
        """Rows of workers that are new, `ROWS` bytes of them; those that have none yet at once. everything: all."""
        left = ROWS
        for n, worker in enumerate(workers):
            if (f"workers/{n}", False) not in self._parts:
                self._note((f"workers/{n}", False), msgspec.json.encode(worker))
        for step in range(len(workers)):
            n = (self._turn + step) % len(workers)
            left -= self._note((f"workers/{n}", False), msgspec.json.encode(workers[n]))
            if left <= 0 and not everything:
                self._turn = n + 1
                return

    def since(self, seen: str) -> Iterator[NumberedUpdate]:
        """What a page lacks, in updates of bounded size. seen: the id of the last one that it has; "", or one of
        another stream: it has nothing."""
        stream, _, text = seen.partition(".")
        number = int(text) if stream == self.stream and text.isdecimal() and len(text) < 20 else 0
        reset = not number
        while True:
            at = bisect.bisect_right(self._order, number, key=lambda place: place.number)
            if at == len(self._order):
                return
            update, number = self._first(at, reset=reset)
            reset = False
            yield update  # while it is sent, `show` may put parts into another order

    def _first(self, at: int, *, reset: bool) -> tuple[NumberedUpdate, int]:
        """As many of the parts from a place on as fit, at least one; and the number of the last one."""
        values: dict[str, msgspec.Raw] = {}
        lengths: dict[str, int] = {}
        size, end = 0, at
        for place in self._order[at:]:
            data = self._parts[place.path, place.is_length].data
            size += len(place.path) + len(data) + 4
            if end > at and size > MOST:
                break
            end += 1
            if place.is_length:
                lengths[place.path] = int(data)
            else:
                values[place.path] = msgspec.Raw(data)
        whole = msgspec.json.encode(Update(reset, lengths, values, end < len(self._order)))
        last = self._order[end - 1].number
        return NumberedUpdate(f"{self.stream}.{last}", whole), last


def _beyond(key: tuple[str, bool], lengths: dict[str, int]) -> bool:
    """Whether a part is an item beyond the end of its list."""
    above, _, name = key[0].rpartition("/")
    return not key[1] and above in lengths and int(name) >= lengths[above]


def _lengths(history: JobHistory) -> Iterator[tuple[str, int]]:
    for path in LISTS:
        found: object = history
        for name in path:
            found = getattr(found, name)
        assert isinstance(found, list)
        yield "/".join(path), len(found)


def _parts(history: JobHistory) -> Iterator[tuple[str, bytes]]:
    for name in history.__struct_fields__:
        value = getattr(history, name)
        if name == "workers":
            continue  # in turn
        if name in OPENED:
            for inner in value.__struct_fields__:
                yield from _part((name, inner), getattr(value, inner))
        else:
            yield from _part((name,), value)


def _part(path: tuple[str, ...], value: object) -> Iterator[tuple[str, bytes]]:
    name = "/".join(path)
    if path in LISTS:
        assert isinstance(value, list)
        for n, item in enumerate(value):
            yield f"{name}/{n}", msgspec.json.encode(item)
    else:
        yield name, msgspec.json.encode(value)
