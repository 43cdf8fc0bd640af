"""What the kinds of notes have in common. Used by the other modules here alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from shuffle_protocol.units import some

Notes = dict[bytes, bytes]
Found = Sequence[tuple[bytes, str]]
"""A note's text in each file, with the file's path."""


class Told:
    """Sentences for `explain`, each once. refused: column -> why files cannot be read together with it."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self._said: dict[str, None] = {}

    def say(self, sentence: str) -> None:
        self._said[sentence] = None

    def dropped(self, key: bytes, why: str) -> None:
        self.say(f"the files' note {key.decode(errors='replace')!r} is left out: {why}")

    def sentences(self) -> list[str]:
        return list(self._said)


class Fitting(NamedTuple):
    """A note that is to be fitted."""

    output: pa.Schema
    """What the job writes."""
    inputs: Sequence[pa.Schema]
    """The columns of each input."""
    values: Sequence[bytes | None]
    """What each of them says, None where it says nothing."""
    stored: Sequence[str]
    """The output's columns that are in its files."""

    @property
    def only(self) -> bytes | None:
        """What is said, where one input alone has columns in the output."""
        return self.values[0] if len(self.values) == 1 else None

    def kept(self, at: int = 0) -> list[str]:
        """The stored columns that are as they were in an input, name and type, in the output's order. A name that
        several inputs have counts for none of them."""
        mine = self.inputs[at]
        others = [one for number, one in enumerate(self.inputs) if number != at]
        return [
            name
            for name in self.stored
            if (place := mine.get_field_index(name)) >= 0
            and mine.field(place).type == self.output.field(name).type
            and all(one.get_field_index(name) < 0 for one in others)
        ]


def as_it_is(text: bytes) -> bytes:
    return text


class NoteKind(NamedTuple):
    """How notes of one kind are handled.

    A note may be anything: what these raise of one that is not as it should be is caught where they are called.
    """

    merge: Callable[[Found, Told], bytes | None]
    """Makes one note for all files, or None where there is none, and says why."""
    fit: Callable[[Fitting, Told], bytes | None]
    """Fits it to the output's columns."""
    lean: Callable[[bytes], bytes] = as_it_is
    """A file's note without what holds for that file alone."""


def parsed(text: bytes | None) -> dict[str, Any] | None:
    """A note as the JSON object that it should be; None where it is none."""
    try:
        found = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def encoded(note: dict[str, Any]) -> bytes:
    return json.dumps(note).encode()


def quoted(names: Sequence[str], most: int = 5) -> str:
    return some([repr(name) for name in names], most)
