"""What is wrong with a job, where, and how it is shown: every problem at once, in the order of the file's lines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.units import some

Path = tuple[str | int, ...]
"""Where a value is in a job: ("spec", "inputs", 0, "path")."""

MAX_SHOWN = 40
"""Problems listed in one message; a file of the wrong kind could have thousands."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    path: Path
    message: str
    """What was found, what is expected, what to write instead."""
    line: int | None = None
    argument: str = ""
    """What the value is called where the job was made in Python: `write_parquet(partitions=...)`."""

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line is not None else []
        if self.argument:
            where.append(self.argument)
        elif self.path:
            where.append(path_text(self.path))
        return ": ".join([*where, self.message])


class InvalidJob(InvalidSpec):
    """A job that is refused, with all of its problems. source: the file's name, or "" for an object."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = list(problems)
        self.source = source
        name = source or "the job"
        if len(self.problems) == 1:
            text = f"{name}: {self.problems[0]}"
        else:
            shown = some([str(problem) for problem in self.problems], MAX_SHOWN, "\n  ")
            text = f"{name}: {len(self.problems)} problems\n  {shown}"
        super().__init__(text)


def path_text(path: Path) -> str:
    """spec.inputs[0].path; a key that is no plain word is put in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", part):
            text += f".{part}" if text else part
        else:
            text += f'["{shorten(part)}"]'
    return text


def shorten(text: str, length: int = 60) -> str:
    """Text of a user in a message: one line, not long, nothing a terminal would obey."""
    clean = "".join(c if c.isprintable() else "�" for c in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant: the same but for case and underscores, or close in spelling."""
    names = list(names)
    folded = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    if plain in folded:
        return folded[plain]
    close = difflib.get_close_matches(plain, folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def found(value: object) -> str:
    """A value as a message names it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f'"{shorten(value)}"' if value else 'an empty string ("")'
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return shorten(str(value))
