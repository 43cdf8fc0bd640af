"""Text that is not UTF-8, recognised by how a file begins: UTF-16 and UTF-32, with a byte order mark and without."""

from __future__ import annotations

import numpy as np

MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Longer ones first: one of UTF-32 begins as one of UTF-16."""

LOOKED = 4096
"""Bytes that are examined where there is no mark."""

MOST = 0.7
"""The share of characters of text in these encodings that have zeros in the same place: all of ASCII, and so the
delimiters, digits and names that tables are made of."""

_WIDE = {
    "utf-32-le": (4, [1, 2, 3]),
    "utf-32-be": (4, [0, 1, 2]),
    "utf-16-le": (2, [1]),
    "utf-16-be": (2, [0]),
}
"""The width of a character, and the places of its zeros."""


def wide_encoding(head: bytes) -> str | None:
    """What a file is written in, by iconv's name, where that is UTF-16 or UTF-32; None for anything else."""
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if marked is not None or b"\0" not in head[:LOOKED]:
        return marked
    for name, (width, zeros) in _WIDE.items():
        count = min(len(head), LOOKED) // width
        if count == 0:
            continue
        empty = np.frombuffer(head, np.uint8, count * width).reshape(count, width) == 0
        others = [place for place in range(width) if place not in zeros]
        if empty[:, zeros].all(axis=1).mean() >= MOST and empty[:, others].mean() <= 1 - MOST:
            return name
    return None


def advice(encoding: str) -> str:
    return f"it is {encoding.upper()}; text is read as UTF-8: convert it, with `iconv -f {encoding} -t utf-8`"
