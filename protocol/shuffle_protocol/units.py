"""Bytes, times and counts for people. Imports nothing, because the command line shows sizes without loading Arrow."""

from __future__ import annotations

from collections.abc import Sequence


def readable(size: float) -> str:
    """512 B, 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def counted(count: int, thing: str) -> str:
    """1 file, 1,200 files."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def some(names: Sequence[str], most: int, between: str = ", ") -> str:
    """The first of many, and how many more there are. a, b; a, b and 1,200 more. between: where each is a sentence,
    `; `: a; b; and 3 more."""
    shown = between.join(names[:most])
    left = len(names) - most
    if left <= 0:
        return shown
    return f"{shown}{' ' if between == ', ' else between}and {left:,} more"


def duration(seconds: float) -> str:
    """40 µs, 1.2 ms, 45 s, 5 min, 2.5 h."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size * 0.9995:
            return f"{seconds / size:.3g} {unit}"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
