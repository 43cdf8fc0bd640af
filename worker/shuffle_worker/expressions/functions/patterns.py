"""Regular expressions, those of RE2 (github.com/google/re2/wiki/Syntax). A pattern is a constant."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrow import Array, call, scalar
from shuffle_worker.expressions.functions.registry import (
    TEXT,
    Section,
    number_constant,
    one_of,
    optional,
    same,
    text_constant,
)
from shuffle_worker.expressions.typed.rows import texts

PATTERNS = Section("Regular expressions")
define = PATTERNS.define

MOST_GROUPS = 9


def _usable(pattern: str) -> object:
    return pc.match_substring_regex(texts([""]), pattern=pattern)


PATTERN = text_constant("pattern", _usable)


def keeping(pattern: str, group: int) -> str:
    """The pattern with no group but one, called `found`: the one of this number, or the whole of it for 0. A group of
    another number becomes one that is not kept, so what the pattern matches stays the same."""
    out: list[str] = []
    count = at = 0
    in_class = False
    while at < len(pattern):
        one = pattern[at]
        if one == "\\":
            out.append(pattern[at : at + 2])
            at += 2
            continue
        if in_class:
            in_class = one != "]"
        elif one == "[":
            in_class = True
            first = 2 if pattern[at + 1 : at + 2] == "^" else 1
            if pattern[at + first : at + first + 1] == "]":  # itself one of the characters
                out.append(pattern[at : at + first + 1])
                at += first + 1
                continue
        elif one == "(":
            kept, behind = _opening(pattern, at)
            if kept:
                count += 1
                out.append("(?P<found>" if count == group else "(?:")
                at = behind
                continue
        out.append(one)
        at += 1
    whole = "".join(out)
    return f"(?P<found>{whole})" if group == 0 else whole if group <= count else ""


def _opening(pattern: str, at: int) -> tuple[bool, int]:
    """Whether a parenthesis opens a group that is kept, and where what is in the group begins."""
    if not pattern.startswith("(?", at):
        return True, at + 1
    name = pattern.startswith(("(?P<", "(?<"), at) and ">" in pattern[at:]
    return (True, pattern.index(">", at) + 1) if name else (False, at + 1)


def _extracted(text: Array, pattern: str, group: int = 0) -> Array:
    """Empty where nothing is found."""
    search = keeping(pattern, group)
    nothing = call("if_else", call("is_valid", text), scalar("", text.type), scalar(None, text.type))
    if not search:
        return nothing  # type: ignore[no-any-return]
    found = call("struct_field", call("extract_regex", text, pattern=search), "found")
    return call("coalesce", found, nothing)  # type: ignore[no-any-return]


def _replaced(text: Array, pattern: str, new: str, flags: str = "") -> Array:
    most = -1 if flags == "g" else 1
    return pc.replace_substring_regex(text, pattern=pattern, replacement=new, max_replacements=most)


define(
    "regexp_matches",
    [TEXT, PATTERN],
    pa.bool_(),
    lambda text, pattern: call("match_substring_regex", text, pattern=pattern),
    "Whether the pattern is found anywhere in it.",
)
define(
    "regexp_extract",
    [TEXT, PATTERN, optional(number_constant("group", 0, MOST_GROUPS))],
    same,
    _extracted,
    "The first place that the pattern matches, or what a group of it does there; empty where there is none.",
)
define(
    "regexp_replace",
    [TEXT, PATTERN, text_constant("new"), optional(one_of("option", ["g"]))],
    same,
    _replaced,
    r"With the first match, or with option `'g'` each, as `new`, in which `\1` is the first group and `\0` all of it.",
)
